// LangChain's memory on Zep; prints what came of it in JSON.
import { ZepMemory } from "@langchain/community/memory/zep";

const [address, key] = process.argv.slice(2);
const memory = new ZepMemory({ sessionId: "lang chain js", baseURL: address, apiKey: key });
const told = { before: (await memory.loadMemoryVariables({})).history };
await memory.saveContext({ input: "I would like tea" }, { output: "Coming up" });
told.after = (await memory.loadMemoryVariables({})).history;
await memory.clear();
told.cleared = (await memory.loadMemoryVariables({})).history;
console.log(JSON.stringify(told));
