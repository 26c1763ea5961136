// An agent on an SDK of others, told line by line what to do: node client.mjs SDK ERA URL.
// Each line is a JSON object; what happens is told the same way, with the id of what it is about.

import { createInterface } from "node:readline";

const [sdk, era, url] = process.argv.slice(2);
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const about = { name: "interop", version: "1" };

async function parts() {
  if (sdk === "v2") {
    return await import("@modelcontextprotocol/client");
  }
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
  return { Client, StreamableHTTPClientTransport };
}

const { Client, StreamableHTTPClientTransport } = await parts();
const mode = era === "modern" ? { pin: "2026-07-28" } : "legacy";
const underWay = new Map();
let client;
let transport;

async function connect(sessionId) {
  client = new Client(about, sdk === "v2" ? { versionNegotiation: { mode } } : {});
  client.onerror = () => {};
  transport = new StreamableHTTPClientTransport(new URL(url), { sessionId });
  await client.connect(transport);
}

async function call({ id, tool, arguments: args, progress, timeout, reset, resume }) {
  const abort = new AbortController();
  underWay.set(id, abort);
  const options = {
    signal: abort.signal,
    timeout: timeout ?? 60000,
    resetTimeoutOnProgress: reset,
    resumptionToken: resume,
    onresumptiontoken: (token) => tell({ id, token }),
  };
  if (progress) {
    options.onprogress = (said) => tell({ id, progress: said });
  }
  const params = { name: tool, arguments: args };
  try {
    const result = sdk === "v2" ? await client.callTool(params, options) : await client.callTool(params, undefined, options);
    tell({ id, text: result.content[0].text, isError: result.isError ?? false, structured: result.structuredContent });
  } catch (error) {
    tell({ id, error: String(error.message), code: error.code });
  }
}

await connect();
tell({ connected: client.getServerVersion()?.name ?? "" });
for await (const line of createInterface({ input: process.stdin })) {
  const said = JSON.parse(line);
  if (said.do === "list") {
    tell({ id: said.id, tools: (await client.listTools()).tools.map((tool) => tool.name) });
  } else if (said.do === "call") {
    void call(said);
  } else if (said.do === "cancel") {
    underWay.get(said.id).abort("changed my mind");
  } else if (said.do === "come back") {
    // Without a word: as a program that was killed, and started again.
    const { sessionId } = transport;
    await transport.close();
    await connect(era === "modern" ? undefined : sessionId);
    tell({ id: said.id, back: true });
  }
}
process.exit(0);
