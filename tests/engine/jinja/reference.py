"""Templates as python3-jinja2 renders them when it is set up as Hugging Face's transformers does, and as Hearth does."""

import datetime
import json
import subprocess
import sys

try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
except ImportError:
    print("skipped: python3-jinja2 is not installed (deploy/install-dependencies.sh)")
    sys.exit(77)  # ctest's SKIP_RETURN_CODE

NOW = datetime.datetime(2025, 1, 2, 3, 4, 5)  # the clock of render_templates


class GenerationTag(jinja2.ext.Extension):
    """{% generation %}: its body alone, in a scope of its own."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_body")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def _raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def _tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols])
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = NOW.strftime
    return made


def expected(env, template, variables):
    """(text, None), or (None, what went wrong)."""
    try:
        return env.from_string(template).render(**variables), None
    except Exception as error:  # pylint: disable=broad-except: whatever Python raises is an error of the template
        return None, f"{type(error).__name__}: {error}"


def rendered(program, requests):
    """The answers of render_templates to {"template", "inputs", "trusted"}."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    run = subprocess.run([program], input=lines.encode(), stdout=subprocess.PIPE, check=True, timeout=600)
    return [json.loads(line) for line in run.stdout.decode().rstrip("\n").split("\n")]
