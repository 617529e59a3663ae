"""Examples for an OpenAPI document: made from its schemas, of values that are given by name."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from saga.api.problems import MEDIA_TYPE

_SAGA_ID = "5b1f0c52-6a1c-4e0f-8f3e-2f9c1d7a4b60"
_INSTANT = "2026-07-01T12:00:00.000000Z"

# What a field of this name may be; in another schema it is used only where it fits.
VALUES: Mapping[str, Any] = {
    "sagaId": _SAGA_ID,
    "sagaType": "payment_refund",
    "currentStep": "payment_refund.call_provider_refund",
    "step": "payment_refund.call_provider_refund",
    "name": "payment_refund.call_provider_refund",
    "businessKey": "payment:PAY20260701",
    "errorMessage": "TimeoutError: the provider did not answer",
    "nextCursor": None,
    "completedAt": None,
    "stepIndex": 1,
    "retryCount": 1,
    "maxRetries": 3,
    "version": 7,
    "seq": 7,
    "kind": "retry_scheduled",
    "attempt": 2,
    "attempts": 2,
    "worker": "worker1@host",
    "taskId": "payment_refund.call_provider_refund",
    "actor": "Ann (on call)",
    "duration": 30.2,
    "detail": {"error": "TimeoutError: the provider did not answer"},
    "why": "waiting for retry 2 of 3 at 12:00:05; then the provider is asked again",
    "reason": "the provider is back",
    "evidence": "the provider's ledger of 2026-07-01 has it",
    "compensation": "payment_refund.restore_payment_status",
    "advice": None,
    "whyNot": None,
    "then": "the saga will be COMPENSATED",
    "signalId": "callback-4711",
    "payload": {"approved": True},
    "new": True,
    "action": "retry",
    "target": None,
    "counts": {"payment_refund": {"RUNNING": 3, "FAILED": 1}},
    "paused": True,
    "state": None,
    "limit": 50,
}


def exemplify(document: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Give every JSON body and answer an example, and every problem one."""
    maker = _Maker(document, {**VALUES, **values})
    for path in document["paths"].values():
        for operation in path.values():
            for content in (operation.get("requestBody", {}).get("content", {})).values():
                maker.exemplify(content)
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if MEDIA_TYPE in content:
                    content[MEDIA_TYPE].setdefault("example", _problem(int(status)))
                if status.startswith("2") and "application/json" in content:
                    maker.exemplify(content["application/json"])


def _problem(status: int) -> dict[str, Any]:
    meant = HTTPStatus(status)
    return {
        "type": "about:blank",
        "title": meant.phrase,
        "status": status,
        "detail": meant.description or meant.phrase,
        "errors": [],
    }


class _Maker:
    """Makes values that fit schemas."""

    def __init__(self, document: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._schemas = document.get("components", {}).get("schemas", {})
        self._values = values

    def exemplify(self, content: dict[str, Any]) -> None:
        if content.get("schema") and not {"example", "examples"} & content.keys():
            content["example"] = self._made("", content["schema"])

    def _made(self, name: str, schema: Mapping[str, Any]) -> Any:
        schema = self._resolved(schema)
        if "examples" in schema:
            return schema["examples"][0]
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            given = self._values.get(name)
            return given if given in schema["enum"] else schema["enum"][0]
        if variants := schema.get("anyOf") or schema.get("oneOf"):
            return self._of_variants(name, variants)
        match schema.get("type"):
            case "object":
                return self._object(name, schema)
            case "array":
                return [self._made(name.removesuffix("s"), schema.get("items", {}))]
            case "string":
                return self._text(name, schema)
            case "integer" | "number":
                return self._number(name, schema)
            case "boolean":
                return bool(self._values.get(name, True))
        return self._values.get(name)

    def _of_variants(self, name: str, variants: list[Mapping[str, Any]]) -> Any:
        may_be_null = any(each.get("type") == "null" for each in variants)
        if may_be_null and name in self._values and self._values[name] is None:
            return None
        return self._made(name, next(each for each in variants if each.get("type") != "null"))

    def _object(self, name: str, schema: Mapping[str, Any]) -> Any:
        properties = schema.get("properties")
        if properties is None:
            given = self._values.get(name)
            return given if isinstance(given, dict) else {}
        return {each: self._made(each, said) for each, said in properties.items()}

    def _number(self, name: str, schema: Mapping[str, Any]) -> float:
        given: Any = self._values.get(name)
        try:
            return int(given) if schema["type"] == "integer" else float(given)
        except (TypeError, ValueError):
            least: float = schema.get("default", schema.get("minimum", 1))
            return least

    def _text(self, name: str, schema: Mapping[str, Any]) -> str:
        match schema.get("format"):
            case "date-time":
                return _INSTANT
            case "uuid":
                return _SAGA_ID
            case "binary":
                return "(the file)"
        given = self._values.get(name)
        return given if isinstance(given, str) else str(schema.get("default", name or "text"))

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        # What is only said beside one schema is not another one.
        if len(both := schema.get("allOf", ())) == 1:
            return self._resolved(both[0])
        return schema
