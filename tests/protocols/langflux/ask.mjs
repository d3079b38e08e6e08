// Flowise's SDK in JavaScript: asks one question after the other.
// Arguments: the server's URL, a key or nothing, and the questions, a JSON array of PredictionData's members.
// Prints for each what came: the answer, or in a list the events of one that was streamed, or the error.
import sdk from "flowise-sdk";

const [baseUrl, apiKey, questions] = process.argv.slice(2);
const client = new sdk.FlowiseClient({ baseUrl, apiKey });

async function answered(question) {
  try {
    const came = await client.createPrediction(question);
    if (came[Symbol.asyncIterator] === undefined) return came;
    const events = [];
    for await (const event of came) events.push(event);
    return events;
  } catch (error) {
    return { status: Number(error.message.match(/status: (\d+)/)[1]) };
  }
}

const answers = [];
for (const question of JSON.parse(questions)) answers.push(await answered(question));
console.log(JSON.stringify(answers));
