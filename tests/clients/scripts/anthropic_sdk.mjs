// Anthropic's TypeScript SDK.
import Anthropic from "@anthropic-ai/sdk";

const [url, key, model] = process.argv.slice(2);
const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const weather = {
  name: "get_weather",
  description: "Current weather",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const hello = { model, max_tokens: 200, messages: [{ role: "user", content: "hello" }] };
const asking = {
  ...hello,
  messages: [{ role: "user", content: "Weather in Rome? call get_weather" }],
  tools: [weather],
};

const text = (message) => message.content.filter((b) => b.type === "text").map((b) => b.text).join("");
const tools = (message) => message.content.filter((b) => b.type === "tool_use").map((b) => [b.name, b.input]);
const usage = (message) => [message.usage.input_tokens, message.usage.output_tokens];

const sync = await client.messages.create(hello);
let pieces = "";
const stream = client.messages.stream(hello).on("text", (piece) => { pieces += piece; });
const streamed = await stream.finalMessage();
const called = await client.messages.create(asking);
const streamedCall = await client.messages.stream(asking).finalMessage();
const results = called.content
  .filter((b) => b.type === "tool_use")
  .map((b) => ({ type: "tool_result", tool_use_id: b.id, content: "22 degrees" }));
const told = await client.messages.create({
  ...asking,
  messages: [
    ...asking.messages,
    { role: "assistant", content: called.content },
    { role: "user", content: results },
  ],
});
console.log(JSON.stringify({
  sync: { text: text(sync), usage: usage(sync) },
  stream: { text: pieces, usage: usage(streamed) },
  tool: { calls: tools(called), answer: text(told) },
  stream_tool: { calls: tools(streamedCall) },
}));
