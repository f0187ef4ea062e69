#include "engine/jinja/template.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/globals.h"
#include "engine/jinja/interpreter.h"
#include "engine/jinja/parser.h"

namespace hearth::jinja {
namespace {

using Json = nlohmann::ordered_json;

// JSON as values; strings are marked where `input`.
class FromJson {
 public:
  FromJson(Run& run, bool input) : run_(run), input_(input) {}

  Result Convert(const Json& json) {
    const Run::Level level(run_);
    HEARTH_RETURN_IF_ERROR(level.status());
    HEARTH_RETURN_IF_ERROR(run_.Step());
    switch (json.type()) {
      case Json::value_t::boolean:
        return Value(json.get<bool>());
      case Json::value_t::number_integer:
        return Value(json.get<int64_t>());
      case Json::value_t::number_unsigned:
        if (json.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
          return Fail(absl::StrCat("the number ", json.get<uint64_t>(), " does not fit 64 bits with a sign"));
        }
        return Value(json.get<int64_t>());
      case Json::value_t::number_float:
        return Value(json.get<double>());
      case Json::value_t::string:
        return String(json.get_ref<const std::string&>());
      case Json::value_t::array:
        return Array(json);
      case Json::value_t::object:
        return Object(json);
      default:
        return Value();
    }
  }

 private:
  Result String(const std::string& text) {
    if (!IsUtf8(text)) return Fail("a text of the input is not valid UTF-8");
    return run_.String(Text(text, input_));
  }

  Result Array(const Json& json) {
    std::vector<Value> items;
    for (const Json& element : json) {
      HEARTH_ASSIGN_OR_RETURN(Value item, Convert(element));
      items.push_back(std::move(item));
    }
    return run_.List(std::move(items));
  }

  Result Object(const Json& json) {
    std::vector<std::pair<Value, Value>> entries;
    for (const auto& [name, element] : json.items()) {
      HEARTH_ASSIGN_OR_RETURN(Value key, String(name));
      HEARTH_ASSIGN_OR_RETURN(Value value, Convert(element));
      entries.emplace_back(std::move(key), std::move(value));
    }
    return run_.Dict(std::move(entries));
  }

  Run& run_;
  const bool input_;
};

// Gives the interpreter those of the variables that the template mentions.
absl::Status SetVariables(const Tree& tree, const Variables& variables, Run& run, Interpreter& interpreter) {
  for (NameId id = 0; id < tree.names.size(); ++id) {
    const std::string& name = tree.names[id];
    if (auto function = MakeGlobal(name)) interpreter.SetVariable(id, Value(std::move(function)));
    for (const auto* source : {&variables.inputs, &variables.trusted}) {
      const auto found = source->find(name);
      if (found == source->end()) continue;
      HEARTH_ASSIGN_OR_RETURN(Value value, FromJson(run, source == &variables.inputs).Convert(*found));
      interpreter.SetVariable(id, std::move(value));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Template> Template::Parse(std::string_view source) {
  HEARTH_ASSIGN_OR_RETURN(Tree tree, jinja::Parse(source));
  return Template(std::make_shared<const Tree>(std::move(tree)));
}

absl::StatusOr<Rendered> Template::Render(const Variables& variables, const Limits& limits) const {
  Run run(limits, variables.now, variables.zone);
  Interpreter interpreter(*tree_, run);
  HEARTH_RETURN_IF_ERROR(SetVariables(*tree_, variables, run, interpreter));
  HEARTH_ASSIGN_OR_RETURN(Text text, interpreter.Render());
  return Rendered{std::move(text.bytes), std::move(text.inputs)};
}

}  // namespace hearth::jinja
