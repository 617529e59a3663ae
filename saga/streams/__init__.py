"""Looking on while sagas go on: server-sent events, and what they tell."""

from saga.streams.streaming import PACE, Pace, Streams
from saga.streams.watching import ListWatch, SagaWatch, Watch, message

__all__ = ["PACE", "ListWatch", "Pace", "SagaWatch", "Streams", "Watch", "message"]
