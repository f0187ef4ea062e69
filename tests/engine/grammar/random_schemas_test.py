#!/usr/bin/env python3
"""Texts drawn through the masks of random JSON schemas must be JSON that fits: random_schemas_test.py SAMPLE_JSON_SCHEMA.

The judge is python3-jsonschema; without it the test is skipped (exit code 77).
"""

import json
import random
import subprocess
import sys
import unittest

try:
    import jsonschema
except ImportError:
    print("skipped: install python3-jsonschema")
    sys.exit(77)

SCHEMAS, SAMPLES = 300, 6
DEFINITIONS = {
    "tree": {"type": "object", "properties": {"value": {"type": "integer"},
                                              "kind": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
             "required": ["value"]},
    "name": {"type": "string", "minLength": 1, "maxLength": 4},
}


class Maker:
    """Random schemas of what is supported."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def number(self, schema, low, high):
        least, most = sorted((self.random.randint(low, high), self.random.randint(low, high)))
        if self.random.random() < 0.7:
            schema[self.random.choice(["minimum", "exclusiveMinimum"])] = least
        if self.random.random() < 0.7:
            schema[self.random.choice(["maximum", "exclusiveMaximum"])] = most + 2
        return schema

    def string(self):
        schema = {"type": "string"}
        kind = self.random.randrange(4)
        if kind == 0:
            schema["minLength"] = self.random.randint(0, 3)
            schema["maxLength"] = schema["minLength"] + self.random.randint(0, 5)
        elif kind == 1:
            schema["pattern"] = self.random.choice(
                ["^[a-z]{2,4}$", "^(ab|cd)+-\\d{2}$", "^x[0-9]?y", "^\\w+@\\w+\\.org$", "^[^\"\\\\]{1,3}$", "^.{3}$|^a*$"])
        elif kind == 2:
            schema["format"] = self.random.choice(["date", "time", "date-time", "uuid", "email", "ipv4", "hostname"])
        return schema

    def object(self, depth):
        names = self.random.sample(["p0", "p1", "p2", "kind", "value", "a\"b", "ä"], self.random.randint(0, 5))
        schema = {"type": "object", "properties": {name: self.schema(depth - 1) for name in names},
                  "required": [name for name in names if self.random.random() < 0.5]}
        if self.random.random() < 0.5:
            schema["additionalProperties"] = self.random.choice([False, True, {"type": "integer"}])
        return schema

    def array(self, depth):
        schema = {"type": "array", "items": self.schema(depth - 1)}
        if self.random.random() < 0.3:
            schema["prefixItems"] = [self.schema(depth - 1) for _ in range(self.random.randint(1, 3))]
            if self.random.random() < 0.3:
                schema["items"] = False
        if self.random.random() < 0.5:
            schema["minItems"] = self.random.randint(0, 1 if schema["items"] is False else 3)
        if self.random.random() < 0.5:
            schema["maxItems"] = schema.get("minItems", 0) + self.random.randint(0, 3)
        return schema

    def schema(self, depth):
        kind = self.random.randrange(12 if depth > 0 else 7)
        if kind == 0:
            return {"type": self.random.choice(["null", "boolean", "string", "integer", "number", ["integer", "null"]])}
        if kind == 1:
            return self.number({"type": "integer"}, -300, 3000)
        if kind == 2:
            return self.number({"type": "number"}, -20, 20)
        if kind in (3, 4):
            return self.string()
        if kind == 5:
            return {"enum": self.random.sample(["a", "b\n", 1, -2.5, None, True, [1], {"k": "v"}], 3)}
        if kind == 6:
            return {"$ref": "#/$defs/" + self.random.choice(sorted(DEFINITIONS))}
        if kind == 7:
            return {"anyOf": [self.schema(depth - 1) for _ in range(2)]}
        if kind == 8:
            return {"allOf": [self.number({"type": "integer"}, -5, 0), {"minimum": -3, "maximum": 2000}]}
        return self.object(depth) if kind < 11 else self.array(depth)


class RandomSchemasTest(unittest.TestCase):
    def test_every_text_fits_its_schema(self):
        schemas = []
        for seed in range(SCHEMAS):
            schemas.append({**Maker(seed).schema(3), "$defs": DEFINITIONS})
        output = subprocess.run([sys.argv[1], str(SAMPLES)], input="".join(json.dumps(s) + "\n" for s in schemas),
                                capture_output=True, text=True, check=True).stdout.splitlines()
        self.assertEqual(len(output), len(schemas))
        # That of the draft; older versions have it under a name of its own.
        checker = (getattr(jsonschema.Draft202012Validator, "FORMAT_CHECKER", None)
                   or jsonschema.draft202012_format_checker)
        checked = 0
        for schema, line in zip(schemas, output):
            texts = json.loads(line)
            if isinstance(texts, str):
                # Random bounds may leave nothing; nothing else is unsupported here.
                self.assertRegex(texts, "no number is as large", json.dumps(schema))
                continue
            validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
            for text in texts:
                with self.subTest(schema=json.dumps(schema), text=text):
                    validator.validate(json.loads(text, parse_constant=lambda name: self.fail(name)))
                    checked += 1
        self.assertGreater(checked, SCHEMAS * SAMPLES * 0.8)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
