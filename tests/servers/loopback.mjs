// Preloaded into a server that was not written for tests: it listens on 127.0.0.1 only, reports its port to the
// parent, and ends with the parent.

import { Server } from "node:net";

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  const callback = rest.find((argument) => typeof argument === "function");
  this.once("listening", () => process.send?.({ port: this.address().port }));
  return listen.call(this, Number(port), "127.0.0.1", callback);
};
process.on("disconnect", () => process.exit(0));
