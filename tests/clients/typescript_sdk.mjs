// The provider's own SDK for TypeScript: a message, and a streamed one. It runs beside the packages it imports.
import Anthropic from "@anthropic-ai/sdk";

const [model, content] = process.argv.slice(2);
const client = new Anthropic();
const asked = { model, max_tokens: 200, temperature: 0.7, messages: [{ role: "user", content }] };
const textOf = (message) => message.content.map((block) => block.text ?? "").join("");

console.log(textOf(await client.messages.create(asked)));
console.log(textOf(await client.messages.stream(asked).finalMessage()));
