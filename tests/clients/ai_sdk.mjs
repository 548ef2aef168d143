// Vercel's AI SDK: a text, and a streamed one. It runs beside the packages it imports.
import { createAnthropic } from "@ai-sdk/anthropic";
import { generateText, streamText } from "ai";

const [name, prompt] = process.argv.slice(2);
const model = createAnthropic({ baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1` })(name);
const asked = { model, prompt, temperature: 0.3 };

console.log((await generateText(asked)).text);
let text = "";
for await (const part of streamText(asked).textStream) text += part;
console.log(text);
