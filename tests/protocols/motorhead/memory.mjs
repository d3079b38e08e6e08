// LangChain's MotorheadMemory in JavaScript: what one says, another one reads.
// Arguments: the server's URL, and for the managed edition a key.
import { MotorheadMemory } from "@langchain/community/memory/motorhead_memory";

const MANAGED = "https://api.getmetal.io/v1/motorhead";
const [url, key] = process.argv.slice(2);
if (key) {
  // The class sends its headers to this address only: have it lead to ours.
  const fetched = globalThis.fetch;
  globalThis.fetch = (address, options) => fetched(address.replace(MANAGED, url), options);
}

async function opened(sessionId) {
  const keys = key ? { apiKey: key, clientId: "anybody" } : { url };
  const memory = new MotorheadMemory({ sessionId, returnMessages: true, ...keys });
  await memory.init();
  return memory;
}

const said = async (memory) =>
  (await memory.loadMemoryVariables({})).history.map((message) => [message.getType(), message.content]);

const first = await opened("trip");
const before = await said(first);
await first.saveContext({ input: "I fly to Lisbon: tomorrow" }, { output: "Have fun" });
await first.saveContext({ input: "Thank you" }, { output: "" });
const second = await opened("trip");
const summarised = await opened("summarised");
console.log(JSON.stringify({
  before,
  said: await said(second),
  contexts: [second.context ?? null, summarised.context ?? null],
}));
