// The Vercel AI SDK with its Anthropic provider; its base URL has the /v1.
import { createAnthropic } from "@ai-sdk/anthropic";
import { generateText, streamText, tool } from "ai";
import { z } from "zod";

const [url, key, name] = process.argv.slice(2);
const model = createAnthropic({ baseURL: `${url}/v1`, apiKey: key })(name);
const tools = {
  get_weather: tool({ description: "Current weather", inputSchema: z.object({ city: z.string() }) }),
};
const hello = { model, prompt: "hello", maxOutputTokens: 200, maxRetries: 0 };
const asking = { ...hello, prompt: "Weather in Rome? call get_weather", tools };
const usage = (used) => [used.inputTokens, used.outputTokens];
const calls = (found) => found.map((call) => [call.toolName, call.input]);
const fail = ({ error }) => { throw error; };

const sync = await generateText(hello);
const stream = streamText({ ...hello, onError: fail });
let pieces = "";
for await (const piece of stream.textStream) pieces += piece;
const called = await generateText(asking);
const streamedCall = streamText({ ...asking, onError: fail });
await streamedCall.consumeStream();
console.log(JSON.stringify({
  sync: { text: sync.text, usage: usage(sync.usage) },
  stream: { text: pieces, usage: usage(await stream.usage) },
  tool: { calls: calls(called.toolCalls) },
  stream_tool: { calls: calls(await streamedCall.toolCalls) },
}));
