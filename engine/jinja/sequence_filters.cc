#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/display.h"
#include "engine/jinja/filters.h"
#include "engine/jinja/operators.h"
#include "engine/jinja/string_functions.h"
#include "engine/jinja/tests.h"

namespace hearth::jinja {
namespace {

// -- Attributes by path
// ---------------------------------------------------------------------------------------

// item.a.b.0 for the path "a.b.0"; `fallback` (may be null) takes the place of what is not there.
Result Lookup(Run& run, Value item, const Value& path, const Value* fallback) {
  if (path.is_none()) return item;
  if (path.string() == nullptr) {
    HEARTH_ASSIGN_OR_RETURN(item, GetItem(run, item, path));
    return item.is_undefined() && fallback != nullptr ? *fallback : item;
  }
  for (const absl::string_view part : absl::StrSplit(path.string()->bytes, '.')) {
    int64_t number = 0;
    const bool digits = !part.empty() && part.find_first_not_of("0123456789") == absl::string_view::npos &&
                        absl::SimpleAtoi(part, &number);
    HEARTH_ASSIGN_OR_RETURN(
        item, GetItem(run, item,
                      digits ? Value(number) : Value::Constant(std::string_view(part.data(), part.size()))));
    if (item.is_undefined() && fallback != nullptr) item = *fallback;
  }
  return item;
}

// The key by which items are compared: that of the path, or of several with commas between them; strings
// without case unless `case_sensitive`.
struct KeyOptions {
  const Value* attribute = nullptr;
  bool case_sensitive = false;
  const Value* fallback = nullptr;
};

Result WithoutCase(Run& run, const Value& value, bool case_sensitive) {
  if (case_sensitive || value.string() == nullptr) return value;
  return run.String(Lower(*value.string()));
}

Result KeyOf(Run& run, const Value& item, const KeyOptions& options) {
  const Value path = options.attribute != nullptr ? *options.attribute : Value();
  HEARTH_ASSIGN_OR_RETURN(const Value value, Lookup(run, item, path, options.fallback));
  return WithoutCase(run, value, options.case_sensitive);
}

absl::StatusOr<std::vector<Value>> KeysOf(Run& run, const std::vector<Value>& items,
                                          const KeyOptions& options) {
  std::vector<Value> keys;
  for (const Value& item : items) {
    HEARTH_ASSIGN_OR_RETURN(Value key, KeyOf(run, item, options));
    keys.push_back(std::move(key));
  }
  return keys;
}

// The order in which `keys` ascend (descend), equal ones as they come.
absl::StatusOr<std::vector<size_t>> SortedOrder(Run& run, const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  absl::Status status;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (!status.ok()) return false;
    const auto less = reverse ? Less(run, keys[b], keys[a]) : Less(run, keys[a], keys[b]);
    status = less.status();
    return less.ok() && *less;
  });
  HEARTH_RETURN_IF_ERROR(status);
  return order;
}

bool IsTrue(const Value* value) { return value != nullptr && Truth(*value); }

Result Generator(Run& run, std::vector<Value> items) {
  return run.List(std::move(items), SequenceKind::kGenerator);
}

// -- Whole sequences
// ------------------------------------------------------------------------------------------

Result LengthFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  if (call.input.string() != nullptr)
    HEARTH_RETURN_IF_ERROR(call.run.StepBytes(call.input.string()->bytes.size()));
  HEARTH_ASSIGN_OR_RETURN(const int64_t length, Length(call.input));
  return Value(length);
}

Result ListFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  HEARTH_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(call.run, call.input));
  return call.run.List(std::move(items));
}

Result FirstFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  const Sequence* const sequence = call.input.sequence();
  if (sequence != nullptr && sequence->consumed < sequence->items.size()) {
    const size_t at = sequence->is(SequenceKind::kGenerator) ? sequence->consumed++ : 0;
    return sequence->items[at];
  }
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  return items.empty() ? Value::Undefined("there is no first item, the sequence is empty") : items.front();
}

absl::Status CheckReversible(const Value& value) {
  const Sequence* const sequence = value.sequence();
  if (sequence == nullptr || !sequence->is(SequenceKind::kGenerator)) return absl::OkStatus();
  return Fail("a generator has no end to begin with; make it a list with |list");
}

Result LastFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  HEARTH_RETURN_IF_ERROR(CheckReversible(call.input));
  const Sequence* const sequence = call.input.sequence();
  if (sequence != nullptr && !sequence->items.empty()) return sequence->items.back();
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  return items.empty() ? Value::Undefined("there is no last item, the sequence is empty") : items.back();
}

Result ReverseFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  if (call.input.string() != nullptr)
    return GetSlice(call.run, call.input, Value(), Value(), Value(int64_t{-1}));
  const bool generator =
      call.input.sequence() != nullptr && call.input.sequence()->is(SequenceKind::kGenerator);
  HEARTH_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(call.run, call.input));
  std::reverse(items.begin(), items.end());
  return generator ? call.run.List(std::move(items)) : Generator(call.run, std::move(items));
}

Result JoinFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"d", "attribute"}, 0));
  Text separator;
  if (bound[0] != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(separator, ToText(call.run, *bound[0]));
  }
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  TextBuilder out;
  for (size_t i = 0; i < items.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const Value item,
                            Lookup(call.run, items[i], bound[1] != nullptr ? *bound[1] : Value(), nullptr));
    HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(call.run, item));
    if (i > 0) out.Append(separator);
    out.Append(text);
    HEARTH_RETURN_IF_ERROR(call.run.StepBytes(separator.bytes.size() + text.bytes.size()));
    HEARTH_RETURN_IF_ERROR(call.run.CheckMemory(out.size()));
  }
  return call.run.String(out.Take());
}

Result SortFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"reverse", "case_sensitive", "attribute"}, 0));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  // Every key is the list of the attributes that are named.
  std::vector<Value> paths = {bound[2] != nullptr ? *bound[2] : Value()};
  if (paths[0].string() != nullptr) {
    const Value names = std::exchange(paths, {})[0];
    for (const Text& name : Split(*names.string(), ",", std::numeric_limits<size_t>::max(), false)) {
      paths.push_back(Value::Constant(name.bytes));
    }
  }
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const Value& path : paths) {
      HEARTH_ASSIGN_OR_RETURN(Value part, KeyOf(call.run, item, {&path, IsTrue(bound[1]), nullptr}));
      parts.push_back(std::move(part));
    }
    HEARTH_ASSIGN_OR_RETURN(Value key, call.run.List(std::move(parts)));
    keys.push_back(std::move(key));
  }
  HEARTH_ASSIGN_OR_RETURN(const std::vector<size_t> order, SortedOrder(call.run, keys, IsTrue(bound[0])));
  std::vector<Value> sorted;
  for (size_t i : order) sorted.push_back(items[i]);
  return call.run.List(std::move(sorted));
}

Result UniqueFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"case_sensitive", "attribute"}, 0));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> keys,
                          KeysOf(call.run, items, {bound[1], IsTrue(bound[0]), nullptr}));
  std::vector<Value> unique;
  std::vector<const Value*> seen;
  for (size_t i = 0; i < items.size(); ++i) {
    HEARTH_RETURN_IF_ERROR(CheckKey(keys[i]));
    bool known = false;
    for (const Value* other : seen) {
      HEARTH_ASSIGN_OR_RETURN(known, Equal(call.run, *other, keys[i]));
      if (known) break;
    }
    if (known) continue;
    seen.push_back(&keys[i]);
    unique.push_back(items[i]);
  }
  return Generator(call.run, std::move(unique));
}

Result MinMaxFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"case_sensitive", "attribute"}, 0));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  if (items.empty()) return Value::Undefined("there is no such item, the sequence is empty");
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> keys,
                          KeysOf(call.run, items, {bound[1], IsTrue(bound[0]), nullptr}));
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const bool better, call.name == "min" ? Less(call.run, keys[i], keys[best])
                                                                  : Less(call.run, keys[best], keys[i]));
    if (better) best = i;
  }
  return items[best];
}

Result SumFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"attribute", "start"}, 0));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  Value sum = bound[1] != nullptr ? *bound[1] : Value(int64_t{0});
  if (sum.string() != nullptr) return Fail("strings are put together by join, not by sum");
  for (const Value& item : items) {
    HEARTH_ASSIGN_OR_RETURN(const Value value,
                            Lookup(call.run, item, bound[0] != nullptr ? *bound[0] : Value(), nullptr));
    HEARTH_ASSIGN_OR_RETURN(sum, ApplyBinary(call.run, BinaryOperator::kAdd, sum, value));
  }
  return sum;
}

absl::StatusOr<size_t> CountArgument(const FilterCall& call, const Value& value) {
  const auto count = value.integer();
  if (count && *count > 0 && *count <= 1'000'000) return static_cast<size_t>(*count);
  return Fail(absl::StrCat(AbslView(call.name), " needs a number from 1 on"));
}

Result BatchFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"linecount", "fill_with"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const size_t count, CountArgument(call, *bound[0]));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  std::vector<Value> batches;
  for (size_t at = 0; at < items.size(); at += count) {
    const auto begin = items.begin() + static_cast<ptrdiff_t>(at);
    std::vector<Value> batch(begin, begin + static_cast<ptrdiff_t>(std::min(count, items.size() - at)));
    if (bound[1] != nullptr && !bound[1]->is_none()) batch.resize(count, *bound[1]);
    HEARTH_ASSIGN_OR_RETURN(Value list, call.run.List(std::move(batch)));
    batches.push_back(std::move(list));
  }
  return Generator(call.run, std::move(batches));
}

Result SliceFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"slices", "fill_with"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const size_t count, CountArgument(call, *bound[0]));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  const size_t each = items.size() / count, longer = items.size() % count;
  const bool fills = bound[1] != nullptr && !bound[1]->is_none();
  std::vector<Value> slices;
  auto at = items.begin();
  for (size_t i = 0; i < count; ++i) {
    const auto end = at + static_cast<ptrdiff_t>(each + (i < longer ? 1 : 0));
    std::vector<Value> slice(at, end);
    if (fills && i >= longer) slice.push_back(*bound[1]);
    at = end;
    HEARTH_ASSIGN_OR_RETURN(Value list, call.run.List(std::move(slice)));
    slices.push_back(std::move(list));
  }
  return Generator(call.run, std::move(slices));
}

Result GroupByFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"attribute", "default", "case_sensitive"}, 1));
  const Value* const fallback = bound[1] != nullptr && !bound[1]->is_none() ? bound[1] : nullptr;
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> keys,
                          KeysOf(call.run, items, {bound[0], IsTrue(bound[2]), fallback}));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<size_t> order, SortedOrder(call.run, keys, false));
  std::vector<Value> groups;
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    std::vector<Value> members;
    for (end = begin; end < order.size(); ++end) {
      HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(call.run, keys[order[begin]], keys[order[end]]));
      if (!same) break;
      members.push_back(items[order[end]]);
    }
    HEARTH_ASSIGN_OR_RETURN(const Value key, Lookup(call.run, members[0], *bound[0], fallback));
    HEARTH_ASSIGN_OR_RETURN(const Value list, call.run.List(std::move(members)));
    HEARTH_ASSIGN_OR_RETURN(Value group, call.run.List({key, list}, SequenceKind::kGroup));
    groups.push_back(std::move(group));
  }
  return call.run.List(std::move(groups));
}

// -- Dicts
// ----------------------------------------------------------------------------------------------------

absl::StatusOr<std::vector<Value>> Pairs(Run& run, const Dict& dict) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : dict.entries) {
    HEARTH_ASSIGN_OR_RETURN(Value pair, run.List({key, value}, SequenceKind::kTuple));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

Result ItemsFilter(const FilterCall& call) {
  HEARTH_RETURN_IF_ERROR(call.Bound({}, 0).status());
  if (call.input.is_undefined()) return Generator(call.run, {});
  if (call.input.dict() == nullptr) {
    return Fail(absl::StrCat("items needs a dict, not '", AbslView(call.input.type_name()), "'"));
  }
  HEARTH_ASSIGN_OR_RETURN(std::vector<Value> pairs, Pairs(call.run, *call.input.dict()));
  return Generator(call.run, std::move(pairs));
}

Result DictSortFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"case_sensitive", "by", "reverse"}, 0));
  const std::string by =
      bound[1] != nullptr && bound[1]->string() != nullptr ? bound[1]->string()->bytes : "key";
  if (by != "key" && by != "value") return Fail("dictsort sorts by 'key' or 'value'");
  HEARTH_RETURN_IF_ERROR(CheckDefined(call.input));
  if (call.input.dict() == nullptr) return Fail("dictsort needs a dict");
  std::vector<Value> keys;
  for (const auto& [key, value] : call.input.dict()->entries) {
    HEARTH_ASSIGN_OR_RETURN(Value sort_key,
                            WithoutCase(call.run, by == "key" ? key : value, IsTrue(bound[0])));
    keys.push_back(std::move(sort_key));
  }
  HEARTH_ASSIGN_OR_RETURN(const std::vector<size_t> order, SortedOrder(call.run, keys, IsTrue(bound[2])));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Pairs(call.run, *call.input.dict()));
  std::vector<Value> sorted;
  for (size_t i : order) sorted.push_back(pairs[i]);
  return call.run.List(std::move(sorted));
}

// -- Filters and tests by name
// --------------------------------------------------------------------------------

// The arguments without the first `count`.
Arguments Rest(const Arguments& arguments, size_t count) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<ptrdiff_t>(count),
                         arguments.positional.end());
  rest.named = arguments.named;
  return rest;
}

absl::StatusOr<std::string> NameArgument(const FilterCall& call, const Value& value) {
  if (value.string() != nullptr) return value.string()->bytes;
  return Fail(absl::StrCat(AbslView(call.name), " needs a name, not '", AbslView(value.type_name()), "'"));
}

Result MapAttribute(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"attribute", "default"}, 1));
  const Value* const fallback = bound[1] != nullptr && !bound[1]->is_none() ? bound[1] : nullptr;
  HEARTH_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(call.run, call.input));
  for (Value& item : items) {
    HEARTH_ASSIGN_OR_RETURN(item, Lookup(call.run, item, *bound[0], fallback));
  }
  return Generator(call.run, std::move(items));
}

Result MapFilter(const FilterCall& call) {
  if (!Truth(call.input)) return Generator(call.run, {});
  if (call.arguments.positional.empty()) return MapAttribute(call);
  HEARTH_ASSIGN_OR_RETURN(const std::string filter, NameArgument(call, call.arguments.positional[0]));
  const Arguments rest = Rest(call.arguments, 1);
  HEARTH_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(call.run, call.input));
  for (Value& item : items) {
    HEARTH_ASSIGN_OR_RETURN(item, ApplyFilter(call.run, filter, item, rest));
  }
  return Generator(call.run, std::move(items));
}

// select, reject, selectattr, rejectattr.
Result SelectFilter(const FilterCall& call) {
  if (!Truth(call.input)) return Generator(call.run, {});
  const bool by_attribute = call.name.ends_with("attr"), selects = call.name.starts_with("select");
  const std::vector<Value>& given = call.arguments.positional;
  const size_t first = by_attribute ? 1 : 0;
  if (given.size() < first) return Fail(absl::StrCat(AbslView(call.name), " needs the name of an attribute"));
  std::string test;
  if (given.size() > first) {
    HEARTH_ASSIGN_OR_RETURN(test, NameArgument(call, given[first]));
  }
  const Arguments rest = Rest(call.arguments, std::min(given.size(), first + 1));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.run, call.input));
  std::vector<Value> selected;
  for (const Value& item : items) {
    HEARTH_ASSIGN_OR_RETURN(const Value tested,
                            Lookup(call.run, item, by_attribute ? given[0] : Value(), nullptr));
    bool fits = false;
    if (given.size() > first) {
      HEARTH_ASSIGN_OR_RETURN(fits, ApplyTest(call.run, test, tested, rest));
    } else {
      fits = Truth(tested);
    }
    if (fits == selects) selected.push_back(item);
  }
  return Generator(call.run, std::move(selected));
}

Result DefaultFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"default_value", "boolean"}, 0));
  const bool replaces = call.input.is_undefined() || (IsTrue(bound[1]) && !Truth(call.input));
  if (!replaces) return call.input;
  return bound[0] != nullptr ? *bound[0] : Value::Constant("");
}

Result AttrFilter(const FilterCall& call) {
  HEARTH_ASSIGN_OR_RETURN(const auto bound, call.Bound({"name"}, 1));
  HEARTH_ASSIGN_OR_RETURN(const std::string name, NameArgument(call, *bound[0]));
  HEARTH_RETURN_IF_ERROR(CheckDefined(call.input));
  // Keys of a dict are no attributes.
  if (call.input.dict() != nullptr && call.input.dict()->Find(name) != nullptr) {
    return Value::Undefined(absl::StrCat("'dict' has no attribute '", name, "'"));
  }
  return GetAttribute(call.run, call.input, name);
}

constexpr std::pair<std::string_view, FilterFunction> kSequenceFilters[] = {
    {"attr", AttrFilter},       {"batch", BatchFilter},     {"count", LengthFilter},
    {"d", DefaultFilter},       {"default", DefaultFilter}, {"dictsort", DictSortFilter},
    {"first", FirstFilter},     {"groupby", GroupByFilter}, {"items", ItemsFilter},
    {"join", JoinFilter},       {"last", LastFilter},       {"length", LengthFilter},
    {"list", ListFilter},       {"map", MapFilter},         {"max", MinMaxFilter},
    {"min", MinMaxFilter},      {"reject", SelectFilter},   {"rejectattr", SelectFilter},
    {"reverse", ReverseFilter}, {"select", SelectFilter},   {"selectattr", SelectFilter},
    {"slice", SliceFilter},     {"sort", SortFilter},       {"sum", SumFilter},
    {"unique", UniqueFilter},
};

}  // namespace

FilterFunction FindSequenceFilter(std::string_view name) {
  for (const auto& [filter, function] : kSequenceFilters) {
    if (filter == name) return function;
  }
  return nullptr;
}

}  // namespace hearth::jinja
