#include "engine/jinja/run.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"

namespace hearth::jinja {
namespace {

constexpr int kMaxNesting = 100;      // of lists and dicts within one another
constexpr size_t kObjectBytes = 256;  // a macro, a loop, a namespace without what it holds
constexpr size_t kContainerBytes = 64;

int DepthOf(const std::vector<Value>& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth + 1;
}

absl::Status CheckNesting(int depth) {
  if (depth <= kMaxNesting) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("lists and dicts lie more than ", kMaxNesting, " deep in one another"));
}

}  // namespace

Run::~Run() {
  for (const auto& object : objects_) object->Clear();
}

absl::Status Run::Step(uint64_t steps) {
  steps_ += std::min(steps, limits_.steps);
  if (steps_ <= limits_.steps) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("it takes more than ", limits_.steps,
                                                   " steps; the template loops too much for this input"));
}

absl::Status Run::CheckMemory(size_t bytes) const {
  if (memory_bytes_ <= limits_.memory_bytes && bytes <= limits_.memory_bytes - memory_bytes_) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("its values take more than ", limits_.memory_bytes, " bytes"));
}

Result Run::String(Text text) {
  const size_t bytes = kContainerBytes + text.bytes.size() + text.inputs.size() * sizeof(ByteRange);
  HEARTH_RETURN_IF_ERROR(StepBytes(bytes));
  HEARTH_RETURN_IF_ERROR(CheckMemory(bytes));
  return Value(std::shared_ptr<const jinja::String>(
      new jinja::String{std::move(text), MemoryCharge(bytes, &memory_bytes_)}));
}

Result Run::List(std::vector<Value> items, SequenceKind kind) {
  const size_t bytes = kContainerBytes + items.size() * sizeof(Value);
  const int depth = DepthOf(items);
  HEARTH_RETURN_IF_ERROR(CheckNesting(depth));
  HEARTH_RETURN_IF_ERROR(StepBytes(bytes));
  HEARTH_RETURN_IF_ERROR(CheckMemory(bytes));
  const bool group = kind == SequenceKind::kGroup;
  return Value(std::shared_ptr<const Sequence>(new Sequence{.kind = group ? SequenceKind::kTuple : kind,
                                                            .items = std::move(items),
                                                            .group = group,
                                                            .depth = depth,
                                                            .charge = MemoryCharge(bytes, &memory_bytes_)}));
}

Result Run::Range(int64_t start, int64_t stop, int64_t step, int64_t length) {
  const size_t bytes = kContainerBytes + static_cast<size_t>(length) * sizeof(Value);
  HEARTH_RETURN_IF_ERROR(StepBytes(bytes));
  HEARTH_RETURN_IF_ERROR(CheckMemory(bytes));
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(length));
  for (int64_t i = 0; i < length; ++i) items.push_back(Value(start + i * step));
  return Value(std::shared_ptr<const Sequence>(new Sequence{.kind = SequenceKind::kRange,
                                                            .items = std::move(items),
                                                            .start = start,
                                                            .stop = stop,
                                                            .step = step,
                                                            .charge = MemoryCharge(bytes, &memory_bytes_)}));
}

Result Run::Dict(std::vector<std::pair<Value, Value>> entries) {
  const size_t bytes = kContainerBytes + entries.size() * 3 * sizeof(Value);
  int depth = 0;
  for (const auto& [key, value] : entries) depth = std::max({depth, key.depth(), value.depth()});
  HEARTH_RETURN_IF_ERROR(CheckNesting(depth + 1));
  HEARTH_RETURN_IF_ERROR(StepBytes(bytes));
  HEARTH_RETURN_IF_ERROR(CheckMemory(bytes));
  std::shared_ptr<jinja::Dict> dict(new jinja::Dict{
      .entries = std::move(entries), .depth = depth + 1, .charge = MemoryCharge(bytes, &memory_bytes_)});
  dict->Index();
  return Value(std::shared_ptr<const jinja::Dict>(std::move(dict)));
}

void Run::Keep(std::shared_ptr<Object> object) {
  memory_bytes_ += kObjectBytes;
  objects_.push_back(std::move(object));
}

absl::Status Run::Level::status() const {
  if (run_.depth_ <= run_.limits_.depth) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("it calls or nests more than ", run_.limits_.depth, " levels deep"));
}

absl::StatusOr<std::vector<const Value*>> Bind(std::string_view function, const Arguments& arguments,
                                               const std::vector<std::string_view>& names, size_t required) {
  std::vector<const Value*> bound(names.size(), nullptr);
  const auto name = AbslView(function);
  if (arguments.positional.size() > names.size()) {
    return Fail(
        absl::StrCat(name, " takes at most ", names.size(), " arguments, not ", arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) bound[i] = &arguments.positional[i];
  for (const auto& [key, value] : arguments.named) {
    const size_t at = static_cast<size_t>(std::find(names.begin(), names.end(), key) - names.begin());
    if (at == names.size()) return Fail(absl::StrCat(name, " has no argument '", key, "'"));
    if (bound[at] != nullptr) return Fail(absl::StrCat(name, " gets its argument '", key, "' twice"));
    bound[at] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i] == nullptr)
      return Fail(absl::StrCat(name, " lacks its argument '", AbslView(names[i]), "'"));
  }
  return bound;
}

absl::Status Fail(std::string message) { return absl::InvalidArgumentError(message); }

}  // namespace hearth::jinja
