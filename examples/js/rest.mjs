// Text in, label out over REST. Node 18 or newer, nothing to install.
//
//     flowformers serve my_model --model_name bert
//     node rest.mjs "I love it."

const [text, address = "http://localhost:8501", model = "bert"] = process.argv.slice(2);

const response = await fetch(`${address}/v1/models/${model}:predict`, {
  method: "POST",
  signal: AbortSignal.timeout(30_000),
  body: JSON.stringify({ signature_name: "text", instances: [text] }),
});
const answer = await response.json();
if (!response.ok) throw new Error(`${response.status}: ${answer.error}`);

for (const { label, score } of answer.predictions) console.log(`${label}\t${score}`);
