"""Labels that come after the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from lure import shapes
from lure.calls.base import Calls, of_stream

AT_ONCE = 1000


class FeedbackCalls(Calls):
    """What can be told of a stream's predictions."""

    def feedback(self, stream: str, labels: Sequence[tuple[str, str]]) -> list[shapes.LabelOutcome]:
        """Says what predictions should have been, 1000 in a request.

        Args:
            stream: the stream's name.
            labels: ids of predictions, each with its true class.

        Returns:
            What became of each, in order. Sent twice, a label is a duplicate and no error.
        """
        path = of_stream(stream, "feedback")
        outcomes: list[shapes.LabelOutcome] = []
        for start in range(0, len(labels), AT_ONCE):
            body = [
                {"prediction_id": prediction_id, "label": label}
                for prediction_id, label in labels[start : start + AT_ONCE]
            ]
            answer = self.http.json("POST", path, json=body)
            outcomes += cast(list[shapes.LabelOutcome], answer["items"])
        return outcomes
