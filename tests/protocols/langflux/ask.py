"""Flowise's SDK in Python: asks one question after the other.

Arguments: the server's URL, a key or nothing, and the questions, a JSON array of PredictionData's members.
Prints for each what came: the answer, or in a list the events of one that was streamed, or the error.
"""

import json
import sys

from flowise import Flowise, IFileUpload, IMessage, PredictionData
from requests import HTTPError

URL, KEY, QUESTIONS = sys.argv[1:]
client = Flowise(URL, KEY or None)


def answered(question):
    question["history"] = [IMessage(**one) for one in question.get("history", [])]
    question["uploads"] = [IFileUpload(**one) for one in question.get("uploads", [])]
    try:
        came = list(client.create_prediction(PredictionData(**question)))
    except HTTPError as error:
        return {"status": error.response.status_code, **json.loads(error.response.text or "{}")}
    return [json.loads(one) for one in came] if isinstance(came[0], str) else came[0]


print(json.dumps([answered(question) for question in json.loads(QUESTIONS)]))
