// Calls every method of zep-js that goes to the server; prints what came of it in JSON.
import assert from "node:assert";
import zep from "@getzep/zep-js";

const { CreateUserRequest, Memory, MemorySearchPayload, Message, Session, UpdateUserRequest, ZepClient } = zep;
const [address, key, wrongKey] = process.argv.slice(2);
const warnings = [];
console.warn = (text) => warnings.push(text);

const errorOf = async (call) => {
  try {
    await call();
  } catch (error) {
    return error.constructor.name;
  }
  return null;
};
const all = async (generator) => {
  const found = [];
  for await (const chunk of generator) found.push(...chunk);
  return found;
};

const client = await ZepClient.init(address, key);
const { memory, message, user } = client;
const told = {};

for (const name of ["ana", "bo", "cy"]) {
  await user.add(new CreateUserRequest({ user_id: `js-${name}`, email: "a@example.org", metadata: { name } }));
}
const updated = await user.update(
  new UpdateUserRequest({ user_id: "js-cy", first_name: "Cy", metadata: { more: 1 } }),
);
told.user = [updated.email, updated.first_name, updated.metadata];
assert.equal((await user.get("js-cy")).first_name, "Cy");
assert.equal((await user.list(2, 0)).length, 2);
assert.equal((await user.list()).length, 3);
told.users = (await all(user.listChunked(2))).map((each) => each.user_id);

const id = "js session";
const session = await memory.addSession(
  new Session({ session_id: id, user_id: "js-ana", metadata: { a: { b: 1 } } }),
);
session.metadata = { a: { c: 2 } };
await memory.updateSession(session);
told.session = (await memory.getSession(id)).metadata;
for (const n of [0, 1, 2]) await memory.addSession(new Session({ session_id: `js ${n}`, metadata: {} }));
assert.equal((await memory.listSessions(2, 0)).length, 2);
told.sessions = (await all(memory.listSessionsChunked(2))).map((each) => each.session_id);
told["of user"] = (await user.getSessions("js-ana")).map((each) => each.session_id);

const said = new Memory({
  messages: [
    new Message({ role: "human", content: "I would like green tea", metadata: { n: 1 } }),
    new Message({ role: "ai", content: "Coming up", metadata: { n: 2 } }),
  ],
});
told.added = await memory.addMemory(id, said);
const got = await memory.getMemory(id);
told.memory = got.messages.map((each) => [each.role, each.content, each.metadata]);
told.summary = got.summary.content;
told.lastn = (await memory.getMemory(id, 1)).messages.map((each) => each.content);
const where = { where: { jsonpath: "$.n ? (@ == 1)" } };
for (const type of ["similarity", "mmr"]) {
  const payload = new MemorySearchPayload({ text: "green tea", metadata: where, search_type: type });
  told[type] = (await memory.searchMemory(id, payload, 5)).map((each) => each.message.content);
}
const summaries = new MemorySearchPayload({ text: "tea", search_scope: "summary" });
told.summaries = await memory.searchMemory(id, summaries);

const page = await message.getSessionMessages(id);
told.page = page.map((each) => each.content);
told["page 2"] = (await message.getSessionMessages(id, 1, 2)).map((each) => each.content);
const last = page[1].uuid;
assert.equal((await message.getSessionMessage(id, last)).uuid, last);
told.changed = (await message.updateSessionMessageMetadata(id, last, { seen: true })).metadata;
await message.updateSessionMessageMetadata(id, last, {});

told.deleted = await memory.deleteMemory(id);
const stranger = new ZepClient(address, wrongKey);
told.errors = [
  await errorOf(() => memory.getSession(id)),
  await errorOf(() => memory.addSession(session)),
  await errorOf(() => memory.deleteMemory(id)),
  await errorOf(() => message.getSessionMessage(id, last)),
  await errorOf(() => user.get("nobody")),
  await errorOf(() => memory.searchMemory(id, new MemorySearchPayload({ text: "" }))),
  await errorOf(() => stranger.memory.getSession("x")),
];
await user.delete("js-ana");
told.gone = [
  await errorOf(() => user.get("js-ana")),
  await errorOf(() => memory.addSession(new Session({ session_id: id, metadata: {} }))),
];
told.warnings = warnings.filter((text) => !text.includes("deprecated"));
console.log(JSON.stringify(told));
