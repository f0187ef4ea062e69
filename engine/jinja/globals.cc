#include "engine/jinja/globals.h"

#include <ctime>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/display.h"
#include "engine/jinja/operators.h"

namespace hearth::jinja {
namespace {

constexpr uint64_t kMaxRange = 100'000;  // as jinja2's sandbox has it

Result RangeFunction(Run& run, const Arguments& arguments) {
  if (arguments.positional.empty() || arguments.positional.size() > 3 || !arguments.named.empty()) {
    return Fail("range takes one to three integers");
  }
  std::vector<int64_t> numbers;
  for (const Value& value : arguments.positional) {
    HEARTH_RETURN_IF_ERROR(CheckDefined(value));
    if (!value.integer())
      return Fail(absl::StrCat("range takes integers, not '", AbslView(value.type_name()), "'"));
    numbers.push_back(*value.integer());
  }
  const int64_t start = numbers.size() == 1 ? 0 : numbers[0], stop = numbers[numbers.size() == 1 ? 0 : 1];
  const int64_t step = numbers.size() == 3 ? numbers[2] : 1;
  if (step == 0) return Fail("the step of range is 0");
  const bool empty = step > 0 ? start >= stop : start <= stop;
  // Differences as unsigned numbers: they may be larger than 63 bits hold.
  const uint64_t span = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                 : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  const uint64_t length = empty ? 0 : (span - 1) / stride + 1;
  if (length > kMaxRange) return Fail(absl::StrCat("range has more than ", kMaxRange, " numbers"));
  return run.Range(start, stop, step, static_cast<int64_t>(length));
}

using Entries = std::vector<std::pair<Value, Value>>;

absl::Status SetEntry(Run& run, Entries& entries, const Value& key, const Value& value) {
  HEARTH_RETURN_IF_ERROR(CheckKey(key));
  for (auto& [other, entry] : entries) {
    HEARTH_ASSIGN_OR_RETURN(const bool equal, Equal(run, other, key));
    if (!equal) continue;
    entry = value;
    return absl::OkStatus();
  }
  entries.emplace_back(key, value);
  return absl::OkStatus();
}

// The entries of dict(mapping or pairs, name=value, ...).
absl::StatusOr<Entries> DictEntries(Run& run, const Arguments& arguments) {
  Entries entries;
  if (arguments.positional.size() > 1) return Fail("dict takes at most one mapping");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    HEARTH_RETURN_IF_ERROR(CheckDefined(source));
    if (source.dict() != nullptr) {
      entries = source.dict()->entries;
    } else {
      HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Iterate(run, source));
      for (const Value& pair : pairs) {
        HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> parts, Iterate(run, pair));
        if (parts.size() != 2) return Fail("dict needs pairs of a key and a value");
        HEARTH_RETURN_IF_ERROR(SetEntry(run, entries, parts[0], parts[1]));
      }
    }
  }
  for (const auto& [name, value] : arguments.named) {
    HEARTH_ASSIGN_OR_RETURN(const Value key, run.String(name));
    HEARTH_RETURN_IF_ERROR(SetEntry(run, entries, key, value));
  }
  return entries;
}

Result DictFunction(Run& run, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(Entries entries, DictEntries(run, arguments));
  return run.Dict(std::move(entries));
}

Result NamespaceFunction(Run& run, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const Entries entries, DictEntries(run, arguments));
  auto made = run.Make<Namespace>();
  for (const auto& [key, value] : entries) {
    if (key.string() == nullptr) return Fail("the attributes of a namespace have names");
    made->SetAttribute(key.string()->bytes, value);
  }
  return Value(std::shared_ptr<Object>(std::move(made)));
}

Result RaiseException(Run& run, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, Bind("raise_exception", arguments, {"message"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const Text message, ToText(run, *bound[0]));
  return Fail(absl::StrCat("the template says: ", Printable(message.bytes)));
}

Result StrftimeNow(Run& run, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, Bind("strftime_now", arguments, {"format"}, 1));
  const Text* const format = bound[0]->string();
  if (format == nullptr || format->bytes.size() > 256)
    return Fail("strftime_now needs a format of at most 256 bytes");
  if (format->bytes.empty()) return run.String("");
  const std::tm time = absl::ToTM(run.now(), run.zone());
  char buffer[4096];
  const size_t length = std::strftime(buffer, sizeof buffer, format->bytes.c_str(), &time);
  return run.String(std::string_view(buffer, length));
}

// Gives its items in turn.
class Cycler final : public Object {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {}
  std::string_view type_name() const override { return "Cycler"; }
  bool callable() const override { return false; }
  void Clear() override { items_.clear(); }
  std::optional<Value> Attribute(std::string_view name) override;

  // The current item, and the step to the next one or back to the first.
  Result Next() {
    Value current = items_[at_];
    at_ = (at_ + 1) % items_.size();
    return current;
  }
  Result Reset() {
    at_ = 0;
    return Value();
  }

 private:
  std::vector<Value> items_;
  size_t at_ = 0;
};

class CyclerMethod final : public Object {
 public:
  CyclerMethod(Cycler& cycler, Result (Cycler::*method)()) : cycler_(cycler), method_(method) {}
  std::string_view type_name() const override { return "method"; }
  Result Call(Run& run, Arguments arguments) override {
    HEARTH_RETURN_IF_ERROR(Bind("cycler", arguments, {}, 0).status());
    return (cycler_.*method_)();
  }

 private:
  Cycler& cycler_;  // lives until the end of the rendering
  Result (Cycler::*const method_)();
};

std::optional<Value> Cycler::Attribute(std::string_view name) {
  if (name == "current") return items_[at_];
  if (name != "next" && name != "reset") return std::nullopt;
  return Value(std::shared_ptr<Object>(
      std::make_shared<CyclerMethod>(*this, name == "next" ? &Cycler::Next : &Cycler::Reset)));
}

Result CyclerFunction(Run& run, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty()) return Fail("cycler needs items");
  return Value(std::shared_ptr<Object>(run.Make<Cycler>(arguments.positional)));
}

// Gives nothing when it is called first, and its separator from then on.
class Joiner final : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string_view type_name() const override { return "Joiner"; }
  Result Call(Run& run, Arguments arguments) override {
    return std::exchange(used_, true) ? separator_ : Value::Constant("");
  }
  void Clear() override { separator_ = Value(); }

 private:
  Value separator_;
  bool used_ = false;
};

Result JoinerFunction(Run& run, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, Bind("joiner", arguments, {"sep"}, 0));
  return Value(
      std::shared_ptr<Object>(run.Make<Joiner>(bound[0] != nullptr ? *bound[0] : Value::Constant(", "))));
}

constexpr std::pair<std::string_view, Function::Body> kFunctions[] = {
    {"range", RangeFunction},      {"dict", DictFunction},     {"namespace", NamespaceFunction},
    {"cycler", CyclerFunction},    {"joiner", JoinerFunction}, {"raise_exception", RaiseException},
    {"strftime_now", StrftimeNow},
};

}  // namespace

std::optional<Value> Namespace::Attribute(std::string_view name) {
  const auto found = attributes_.find(AbslView(name));
  return found == attributes_.end() ? std::nullopt : std::optional(found->second);
}

bool Namespace::SetAttribute(std::string_view name, Value value) {
  attributes_[AbslView(name)] = std::move(value);
  return true;
}

std::shared_ptr<Object> MakeGlobal(std::string_view name) {
  for (const auto& [function, body] : kFunctions) {
    if (function == name) return std::make_shared<Function>(body);
  }
  return nullptr;
}

}  // namespace hearth::jinja
