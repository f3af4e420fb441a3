"""Wakes the functions as AWS's event sources do: streams, queues, schedules."""
