#ifndef HEARTH_ENGINE_JINJA_VALUE_H_
#define HEARTH_ENGINE_JINJA_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/jinja/text.h"

namespace hearth::jinja {

class Object;
class Value;
struct Dict;
struct Sequence;

using Result = absl::StatusOr<Value>;

// Bytes that count against a rendering's memory until this is destroyed. `used` outlives it.
class MemoryCharge {
 public:
  MemoryCharge() = default;
  MemoryCharge(size_t bytes, size_t* used) : bytes_(bytes), used_(used) { *used_ += bytes_; }
  MemoryCharge(MemoryCharge&& other) noexcept
      : bytes_(std::exchange(other.bytes_, 0)), used_(std::exchange(other.used_, nullptr)) {}
  MemoryCharge& operator=(MemoryCharge&&) = delete;
  ~MemoryCharge() {
    if (used_ != nullptr) *used_ -= bytes_;
  }

 private:
  size_t bytes_ = 0;
  size_t* used_ = nullptr;
};

// Python's None.
struct NoneValue {};

// What a name or attribute that is not there gives: prints as nothing, and using it is an error with
// `message`.
struct UndefinedValue {
  std::string message;
};

struct String {
  Text text;
  MemoryCharge charge;
};

// A value of a template, as in Python: cheap to copy, immutable but for objects. Copies may be used by
// several threads as long as no object is among them.
class Value {
 public:
  Value() : Value(NoneValue()) {}
  static Value Undefined(std::string message);
  explicit Value(NoneValue none) : storage_(none) {}
  explicit Value(bool value) : storage_(value) {}
  explicit Value(int64_t value) : storage_(value) {}
  explicit Value(double value) : storage_(value) {}
  explicit Value(std::shared_ptr<const String> string) : storage_(std::move(string)) {}
  explicit Value(std::shared_ptr<const Sequence> sequence) : storage_(std::move(sequence)) {}
  explicit Value(std::shared_ptr<const Dict> dict) : storage_(std::move(dict)) {}
  explicit Value(std::shared_ptr<Object> object) : storage_(std::move(object)) {}
  // Without a charge: for a template's constants, which live as long as it.
  static Value Constant(std::string_view text);
  template <typename T>
  Value(const T*) = delete;  // no pointer is a bool

  bool is_undefined() const {
    return std::holds_alternative<std::shared_ptr<const UndefinedValue>>(storage_);
  }
  bool is_none() const { return std::holds_alternative<NoneValue>(storage_); }
  // Null, or nullopt, where it is of another kind.
  const bool* boolean() const { return std::get_if<bool>(&storage_); }
  const double* real() const { return std::get_if<double>(&storage_); }
  const Text* string() const;
  const Sequence* sequence() const;
  const Dict* dict() const;
  Object* object() const;
  const std::string& undefined_message() const;
  std::shared_ptr<const Dict> shared_dict() const;
  std::shared_ptr<const Sequence> shared_sequence() const;
  // An int, or a bool as 0 or 1; any number as a float.
  std::optional<int64_t> integer() const;
  std::optional<double> number() const;
  bool is_int() const { return std::holds_alternative<int64_t>(storage_); }

  // Python's name of the type, for errors.
  std::string_view type_name() const;
  // Levels of lists and dicts inside.
  int depth() const;
  // Python's `is`.
  bool Same(const Value& other) const;

 private:
  std::variant<NoneValue, bool, int64_t, double, std::shared_ptr<const UndefinedValue>,
               std::shared_ptr<const String>, std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
               std::shared_ptr<Object>>
      storage_;
};

// kGroup: a tuple (key, list) whose parts have names as well, made by groupby; its kind is kTuple.
enum class SequenceKind { kList, kTuple, kRange, kGenerator, kItems, kKeys, kValues, kGroup };
// Python's name of it.
std::string_view TypeName(SequenceKind kind);

// Python's list, tuple, range, a generator, and the views of a dict.
struct Sequence {
  SequenceKind kind = SequenceKind::kList;
  std::vector<Value> items;
  bool group = false;                     // made as kGroup
  int64_t start = 0, stop = 0, step = 1;  // of a range
  int depth = 1;
  mutable size_t consumed = 0;  // of a generator: what was taken is gone
  MemoryCharge charge;

  bool is(SequenceKind other) const { return kind == other; }
};

// Python's dict: entries in the order of their insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 1;
  MemoryCharge charge;

  // The value of a string key; null where there is none.
  const Value* Find(std::string_view key) const;
  // To be called when `entries` is complete.
  void Index();

  absl::flat_hash_map<absl::string_view, size_t> index = {};  // of string keys, where there are many entries
};

// The arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Run;

// Whatever has identity, state or can be called: macros, functions, methods, namespaces, loops.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string_view type_name() const = 0;
  // nullopt where it has no such attribute.
  virtual std::optional<Value> Attribute(std::string_view name) { return std::nullopt; }
  virtual bool callable() const { return true; }
  virtual Result Call(Run& run, Arguments arguments);
  // Whether `{% set x.name = ... %}` may change it.
  virtual bool SetAttribute(std::string_view name, Value value) { return false; }
  // Number of elements, where it has one (a loop does).
  virtual std::optional<int64_t> Length() { return std::nullopt; }
  // Drops what it holds, at the end of a rendering: objects may hold one another in a ring.
  virtual void Clear() {}
};

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_VALUE_H_
