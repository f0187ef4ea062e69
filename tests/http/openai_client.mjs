// OpenAI's own client against the daemon at OPENAI_BASE_URL, which serves the demo model as "demo" with 4 slots.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
// For what may come before the slots of requests that were given up are free: within a step of the model.
const patient = new OpenAI({ maxRetries: 10 });
const greedy = { model: "demo", prompt: "In the beginning", max_tokens: 8, temperature: 0 };

async function refusal(kind, body) {
  return assert.rejects(client.completions.create({ ...greedy, ...body }), (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.ok(error.message.length > 10);
    return true;
  });
}

test("models are listed and found by name", async () => {
  const list = await client.models.list();
  assert.deepEqual(list.data.map((model) => model.id), ["demo"]);
  assert.equal((await client.models.retrieve("demo")).object, "model");
  await assert.rejects(client.models.retrieve("other"), OpenAI.NotFoundError);
});

test("a completion has text, reason and usage", async () => {
  const answer = await client.completions.create(greedy);
  assert.equal(answer.choices[0].text, " of the word of the LORD came unto");
  assert.equal(answer.choices[0].finish_reason, "length");
  assert.equal(answer.usage.prompt_tokens, 6);
  assert.equal(answer.usage.completion_tokens, 8);
  assert.equal(answer.usage.total_tokens, 14);
});

test("a stream has the text of the whole answer", async () => {
  const stream = await client.completions.create({ ...greedy, stream: true, stream_options: { include_usage: true } });
  let text = "";
  let reason = null;
  let usage = null;
  const ids = new Set();
  for await (const chunk of stream) {
    ids.add(chunk.id);
    if (chunk.usage) usage = chunk.usage;
    for (const choice of chunk.choices) {
      text += choice.text;
      reason = choice.finish_reason ?? reason;
    }
  }
  assert.equal(text, " of the word of the LORD came unto");
  assert.equal(reason, "length");
  assert.equal(usage.total_tokens, 14);
  assert.equal(ids.size, 1);
});

test("several prompts and answers, seeds, stops and logprobs", async () => {
  const both = await client.completions.create({ ...greedy, prompt: ["In the beginning", "And God said"], n: 2 });
  assert.deepEqual(both.choices.map((choice) => choice.index), [0, 1, 2, 3]);
  const drawn = { ...greedy, temperature: 1, seed: 7, max_tokens: 20 };
  const [first, second] = await Promise.all([client.completions.create(drawn), client.completions.create(drawn)]);
  assert.equal(first.choices[0].text, second.choices[0].text);
  const stopped = await client.completions.create({ ...greedy, stop: " LORD" });
  assert.equal(stopped.choices[0].text, " of the word of the");
  assert.equal(stopped.choices[0].finish_reason, "stop");
  const tokens = (await client.completions.create({ ...greedy, logprobs: 3 })).choices[0].logprobs;
  assert.equal(tokens.tokens.join(""), " of the word of the LORD came unto");
  assert.equal(Object.keys(tokens.top_logprobs[0]).length, 3);
  const banned = await client.completions.create({ ...greedy, max_tokens: 1, logit_bias: { 0: 100 } });
  assert.notEqual(banned.choices[0].text, " of");
});

test("errors are those that the client knows", async () => {
  await refusal(OpenAI.BadRequestError, { temperature: "hot" });
  await refusal(OpenAI.BadRequestError, { max_tokens: 100000 });
  await refusal(OpenAI.BadRequestError, { best_of: 3 });
  await refusal(OpenAI.NotFoundError, { model: "other" });
  await refusal(OpenAI.NotFoundError, { model: "other", stream: true });
});

test("a request that the queue has no room for may be sent again", async () => {
  await refusal(OpenAI.RateLimitError, { n: 100, max_tokens: 200 });
  assert.equal((await patient.completions.create(greedy)).choices.length, 1);
});

test("aborted streams free their slots", async () => {
  for (let i = 0; i < 12; ++i) {
    const stream = await patient.completions.create({ ...greedy, max_tokens: 480, stream: true });
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      stream.controller.abort();
      break;
    }
  }
  const aborted = new AbortController();
  const waiting = client.completions.create({ ...greedy, max_tokens: 480 }, { signal: aborted.signal });
  setImmediate(() => aborted.abort());
  await assert.rejects(waiting, OpenAI.APIUserAbortError);
  assert.equal((await patient.completions.create(greedy)).usage.completion_tokens, 8);
});

test("the next turn of a chat reads only what is new", async () => {
  const messages = [{ role: "user", content: "In the beginning God created the heaven and the earth." }];
  const ask = { model: "demo", max_tokens: 8, temperature: 0 };
  const first = await client.chat.completions.create({ ...ask, messages });
  messages.push(first.choices[0].message, { role: "user", content: "And the earth" });
  const second = await client.chat.completions.create({ ...ask, messages });
  const cached = second.usage.prompt_tokens_details.cached_tokens;
  assert.ok(cached >= first.usage.prompt_tokens - 8, `${cached} of ${first.usage.prompt_tokens}`);
  assert.ok(cached < second.usage.prompt_tokens);
});

const schema = {
  type: "object",
  properties: { verse: { type: "integer", minimum: 1, maximum: 50 }, book: { enum: ["Genesis", "Exodus"] } },
  required: ["verse", "book"],
  additionalProperties: false,
};
const chat = {
  model: "demo",
  messages: [{ role: "user", content: "In the beginning" }],
  max_tokens: 200,
  temperature: 1,
  response_format: { type: "json_schema", json_schema: { name: "place", strict: true, schema } },
};

function checkPlace(text) {
  const place = JSON.parse(text);
  assert.deepEqual(Object.keys(place), ["verse", "book"]);
  assert.ok(Number.isInteger(place.verse) && place.verse >= 1 && place.verse <= 50);
  assert.ok(schema.properties.book.enum.includes(place.book));
}

test("chats answer in the schema that is asked for", async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const answer = await client.chat.completions.create({ ...chat, seed });
    assert.equal(answer.choices[0].finish_reason, "stop");
    checkPlace(answer.choices[0].message.content);
  }
});

test("streams answer in the schema as well", async () => {
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...chat, seed: 6, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  checkPlace(text);
});

const tools = [
  {
    type: "function",
    function: {
      name: "look_up",
      parameters: { ...schema, properties: { verse: { enum: [1, 2] }, book: schema.properties.book } },
    },
  },
];

function checkCall(call) {
  assert.equal(call.type, "function");
  assert.equal(call.function.name, "look_up");
  assert.ok(call.id.length > 0);
  assert.deepEqual(Object.keys(JSON.parse(call.function.arguments)), ["verse", "book"]);
}

test("a tool that is required is called", async () => {
  const { response_format, ...asked } = chat;
  for (const tool_choice of ["required", { type: "function", function: { name: "look_up" } }]) {
    const answer = await client.chat.completions.create({ ...asked, max_tokens: 400, tools, tool_choice, seed: 7 });
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
    assert.equal(answer.choices[0].message.content, null);
    assert.equal(answer.choices[0].message.tool_calls.length, 1);
    checkCall(answer.choices[0].message.tool_calls[0]);
  }
});

test("streamed calls are put together by the client", async () => {
  const { response_format, ...asked } = chat;
  const stream = client.chat.completions.stream({ ...asked, max_tokens: 400, tools, tool_choice: "required", seed: 8 });
  const answer = await stream.finalChatCompletion();
  assert.equal(answer.choices[0].finish_reason, "tool_calls");
  checkCall(answer.choices[0].message.tool_calls[0]);
});

test("a call and its result go back to the model", async () => {
  const calls = [{ id: "abcdefghi", type: "function", function: { name: "look_up", arguments: "{}" } }];
  const messages = [
    ...chat.messages,
    { role: "assistant", content: null, tool_calls: calls },
    { role: "tool", tool_call_id: "abcdefghi", content: "And God said" },
  ];
  const answer = await client.chat.completions.create({ model: "demo", messages, tools, max_tokens: 4 });
  assert.equal(answer.choices[0].message.role, "assistant");
});

test("tools that are not there cannot be required", async () => {
  const { response_format, ...asked } = chat;
  const tool_choice = { type: "function", function: { name: "other" } };
  await assert.rejects(client.chat.completions.create({ ...asked, tools, tool_choice }), OpenAI.BadRequestError);
});

test("schemas that are not supported are refused", async () => {
  const response_format = { type: "json_schema", json_schema: { name: "n", schema: { not: {} } } };
  await assert.rejects(client.chat.completions.create({ ...chat, response_format }), OpenAI.BadRequestError);
});

const length = (vector) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
const cosine = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

test("embeddings are the same in both formats and point where their texts do", async () => {
  const input = ["the house of the LORD", "the house of God", "forty and two thousand"];
  const coded = await client.embeddings.create({ model: "demo", input }); // the client asks for base64
  const plain = await client.embeddings.create({ model: "demo", input, encoding_format: "float" });
  assert.equal(coded.data.length, 3);
  assert.equal(coded.model, "demo");
  assert.ok(coded.usage.prompt_tokens > 10);
  assert.equal(coded.usage.total_tokens, coded.usage.prompt_tokens);
  coded.data.forEach(({ index, embedding }, i) => {
    assert.equal(index, i);
    assert.ok(Math.abs(length(embedding) - 1) < 1e-5);
    assert.deepEqual(embedding, plain.data[i].embedding);
  });
  const [lord, god, number] = coded.data.map(({ embedding }) => embedding);
  assert.ok(cosine(lord, god) > cosine(lord, number));
});

test("embeddings take a text, tokens, and fewer dimensions", async () => {
  const text = await client.embeddings.create({ model: "demo", input: "the house" });
  assert.equal(text.data.length, 1);
  const short = await client.embeddings.create({ model: "demo", input: [1, 431, 261], dimensions: 8 });
  assert.equal(short.data[0].embedding.length, 8);
  assert.ok(Math.abs(length(short.data[0].embedding) - 1) < 1e-5);
  const lists = await client.embeddings.create({ model: "demo", input: [[1, 431], [1, 261, 575]] });
  assert.equal(lists.usage.prompt_tokens, 5);
});

test("what cannot be embedded is refused", async () => {
  for (const wrong of [{ input: "" }, { input: [] }, { input: [[999999]] }, { input: "a", dimensions: 99999 }]) {
    await assert.rejects(client.embeddings.create({ model: "demo", ...wrong }), OpenAI.BadRequestError);
  }
  await assert.rejects(client.embeddings.create({ model: "other", input: "a" }), OpenAI.NotFoundError);
});

const respond = { model: "demo", input: "In the beginning", max_output_tokens: 8, temperature: 0 };

test("a response has text and usage", async () => {
  const response = await client.responses.create(respond);
  assert.equal(response.object, "response");
  assert.ok(response.output_text.length > 0);
  assert.equal(response.output[0].type, "message");
  assert.equal(response.status, "incomplete");
  assert.equal(response.incomplete_details.reason, "max_output_tokens");
  assert.equal(response.usage.output_tokens, 8);
  assert.equal(response.usage.total_tokens, response.usage.input_tokens + 8);
  const items = [{ role: "user", content: [{ type: "input_text", text: "In the beginning" }] }];
  assert.equal((await client.responses.create({ ...respond, input: items })).output_text, response.output_text);
});

test("a streamed response is put together by the client", async () => {
  const whole = await client.responses.create(respond);
  const types = [];
  let text = "";
  for await (const event of await client.responses.create({ ...respond, stream: true })) {
    assert.equal(event.sequence_number, types.length);
    types.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(types[0], "response.created");
  assert.equal(types.at(-1), "response.incomplete");
  assert.equal(text, whole.output_text);
  const final = await client.responses.stream(respond).finalResponse();
  assert.equal(final.output[0].content[0].text, whole.output_text);
});

test("the next turn takes the last response's items", async () => {
  const input = [{ role: "user", content: "In the beginning" }];
  const first = await client.responses.create({ ...respond, input });
  input.push(...first.output, { role: "user", content: "And God said" });
  const second = await client.responses.create({ ...respond, input });
  assert.ok(second.usage.input_tokens > first.usage.input_tokens);
  assert.ok(second.usage.input_tokens_details.cached_tokens > 0);
});

test("responses answer in the schema that is asked for", async () => {
  const text = { format: { type: "json_schema", name: "place", strict: true, schema } };
  const response = await client.responses.create({ ...respond, text, max_output_tokens: 200, temperature: 1 });
  assert.equal(response.status, "completed");
  checkPlace(response.output_text);
});

const flat_tools = [{ type: "function", name: "look_up", strict: true, parameters: tools[0].function.parameters }];

test("a response calls the function that is required, and takes its output", async () => {
  const input = [{ role: "user", content: "In the beginning" }];
  const asked = { ...respond, input, tools: flat_tools, max_output_tokens: 400, temperature: 1 };
  for (const tool_choice of ["required", { type: "function", name: "look_up" }]) {
    const response = await client.responses.create({ ...asked, tool_choice });
    assert.equal(response.output.length, 1);
    const [call] = response.output;
    assert.equal(call.type, "function_call");
    assert.equal(call.name, "look_up");
    assert.deepEqual(Object.keys(JSON.parse(call.arguments)), ["verse", "book"]);
    const output = { type: "function_call_output", call_id: call.call_id, output: "And God said" };
    const next = await client.responses.create({ ...respond, tools: flat_tools, input: [...input, call, output] });
    assert.equal(next.object, "response");
  }
});

test("a streamed call is put together by the client", async () => {
  const asked = { ...respond, tools: flat_tools, tool_choice: "required", max_output_tokens: 400, temperature: 1 };
  const types = new Set();
  const stream = client.responses.stream(asked);
  for await (const event of stream) types.add(event.type);
  assert.ok(types.has("response.function_call_arguments.delta") && types.has("response.function_call_arguments.done"));
  const final = await stream.finalResponse();
  assert.deepEqual(Object.keys(JSON.parse(final.output[0].arguments)), ["verse", "book"]);
});

test("responses that need what is stored are refused", async () => {
  for (const wrong of [{ previous_response_id: "resp_1" }, { store: true }, { background: true }, { input: [] }]) {
    await assert.rejects(client.responses.create({ ...respond, ...wrong }), OpenAI.BadRequestError);
  }
  await assert.rejects(client.responses.create({ ...respond, model: "other", stream: true }), OpenAI.NotFoundError);
});
