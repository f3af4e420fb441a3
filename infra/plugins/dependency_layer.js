const fs = require("node:fs");
const path = require("node:path");

const PLACEHOLDER = "NOT-BUILT";

/**
 * `make package` builds the dependency layer. Without it the template can still be packaged and checked, with a
 * placeholder in the layer's place; a deployment of that placeholder is refused. Packaging alone needs no account:
 * osls would ask AWS for the last deployed layer, which saves an upload and matters to a deployment only.
 */
class DependencyLayer {
  constructor(serverless, _options, { log }) {
    this.serverless = serverless;
    this.folder = path.join(serverless.serviceDir, serverless.service.layers.dependencies.path);
    this.log = log;
    this.hooks = {
      initialize: () => this.askNothingOfAwsWhenPackaging(),
      "before:package:initialize": () => this.ensureFolder(),
      "before:deploy:deploy": () => this.refusePlaceholder(),
    };
  }

  askNothingOfAwsWhenPackaging() {
    const { commands } = this.serverless.processedInput;
    if (commands[0] !== "package") return;
    const compiler = this.serverless.pluginManager.plugins.find((plugin) => plugin.compareWithLastLayer);
    if (!compiler) throw new Error("osls no longer compares layers in AwsCompileLayers; adapt this plugin.");
    compiler.compareWithLastLayer = async () => {};
  }

  ensureFolder() {
    if (fs.existsSync(this.folder)) return;
    fs.mkdirSync(this.folder, { recursive: true });
    fs.writeFileSync(path.join(this.folder, PLACEHOLDER), "Run `make package` to build the layer.\n");
    this.log.warning("The dependency layer is not built: packaging a placeholder. Run `make package` to build it.");
  }

  refusePlaceholder() {
    if (fs.existsSync(path.join(this.folder, PLACEHOLDER))) {
      throw new this.serverless.classes.Error("The dependency layer is not built. Run `make package` first.");
    }
  }
}

module.exports = DependencyLayer;
