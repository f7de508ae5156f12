// The peer: Node's http with JSON.parse and the least checks. `node node.mjs PORT`
import http from "node:http";

const OK = '{"success":true}';
const known = new Set(["track", "identify", "page", "screen", "group", "alias"]);
const good = (event) => known.has(event.type) && (event.userId || event.anonymousId) && event.messageId;

http
  .createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      let status = 200;
      try {
        const body = JSON.parse(Buffer.concat(parts).toString());
        if (!(body.batch || [body]).every(good)) status = 400;
      } catch {
        status = 400;
      }
      response.writeHead(status, { "content-type": "application/json", "content-length": OK.length });
      response.end(OK);
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
