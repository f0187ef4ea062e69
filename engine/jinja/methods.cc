#include "engine/jinja/methods.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/operators.h"

namespace hearth::jinja {
namespace {

constexpr std::array<std::string_view, 6> kDictMethods = {"copy",  "fromkeys", "get",
                                                          "items", "keys",     "values"};
constexpr std::array<std::string_view, 5> kForbiddenInDicts = {"clear", "pop", "popitem", "setdefault",
                                                               "update"};
constexpr std::array<std::string_view, 3> kListMethods = {"copy", "count", "index"};
constexpr std::array<std::string_view, 8> kForbiddenInLists = {"append", "clear",  "extend",  "insert",
                                                               "pop",    "remove", "reverse", "sort"};

template <size_t n>
bool IsOneOf(const std::array<std::string_view, n>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Result CallListMethod(Run& run, const Value& receiver, std::string_view name, const Arguments& arguments) {
  if (name == "copy") return receiver;
  HEARTH_ASSIGN_OR_RETURN(const auto bound, Bind(name, arguments, {"value"}, 1));
  int64_t count = 0;
  const std::vector<Value>& items = receiver.sequence()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const bool equal, Equal(run, items[i], *bound[0]));
    if (equal && name == "index") return Value(static_cast<int64_t>(i));
    count += equal ? 1 : 0;
  }
  if (name == "index") return Fail("the list has no such element");
  return Value(count);
}

Result DictView(Run& run, const Dict& dict, std::string_view name) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.entries) {
    if (name == "items") {
      HEARTH_ASSIGN_OR_RETURN(Value pair, run.List({key, value}, SequenceKind::kTuple));
      items.push_back(std::move(pair));
    } else {
      items.push_back(name == "keys" ? key : value);
    }
  }
  const SequenceKind kind = name == "items"  ? SequenceKind::kItems
                            : name == "keys" ? SequenceKind::kKeys
                                             : SequenceKind::kValues;
  return run.List(std::move(items), kind);
}

Result CallDictMethod(Run& run, const Value& receiver, std::string_view name, const Arguments& arguments) {
  if (name == "get") {
    HEARTH_ASSIGN_OR_RETURN(const auto bound, Bind(name, arguments, {"key", "default"}, 1));
    HEARTH_ASSIGN_OR_RETURN(const bool found, Contains(run, receiver, *bound[0]));
    if (found) return GetItem(run, receiver, *bound[0]);
    return bound[1] != nullptr ? *bound[1] : Value();
  }
  if (name == "fromkeys") return Fail("dict.fromkeys is not known here");
  HEARTH_RETURN_IF_ERROR(Bind(name, arguments, {}, 0).status());
  return name == "copy" ? Result(receiver) : DictView(run, *receiver.dict(), name);
}

// A method with the value that it belongs to.
class Method final : public Object {
 public:
  Method(Value receiver, std::string_view name) : receiver_(std::move(receiver)), name_(name) {}

  std::string_view type_name() const override { return "builtin_function_or_method"; }
  Result Call(Run& run, Arguments arguments) override {
    if (receiver_.string() != nullptr) return CallStringMethod(run, receiver_, name_, arguments);
    if (receiver_.dict() != nullptr) return CallDictMethod(run, receiver_, name_, arguments);
    return CallListMethod(run, receiver_, name_, arguments);
  }
  void Clear() override { receiver_ = Value(); }

 private:
  Value receiver_;
  const std::string name_;
};

Value Forbidden(std::string_view type, std::string_view name) {
  return Value::Undefined(absl::StrCat("'", AbslView(name), "' of a ", AbslView(type),
                                       " changes it, which templates may not do"));
}

}  // namespace

std::optional<Value> FindMethod(Run& run, const Value& object, std::string_view name) {
  bool known = false;
  if (object.string() != nullptr) known = IsStringMethod(name);
  if (object.dict() != nullptr) {
    if (IsOneOf(kForbiddenInDicts, name)) return Forbidden("dict", name);
    known = IsOneOf(kDictMethods, name);
  }
  if (const Sequence* const sequence = object.sequence()) {
    const bool list = sequence->is(SequenceKind::kList);
    if (sequence->group && name == "grouper") return sequence->items[0];
    if (sequence->group && name == "list") return sequence->items[1];
    if (list && IsOneOf(kForbiddenInLists, name)) return Forbidden("list", name);
    const bool others = sequence->is(SequenceKind::kTuple) || sequence->is(SequenceKind::kRange);
    known = IsOneOf(kListMethods, name) && (list || (others && name != "copy"));
  }
  if (!known) return std::nullopt;
  return Value(std::shared_ptr<Object>(std::make_shared<Method>(object, name)));
}

}  // namespace hearth::jinja
