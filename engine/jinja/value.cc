#include "engine/jinja/value.h"

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"

namespace hearth::jinja {
namespace {

constexpr size_t kIndexedEntries = 16;  // from so many on a search by hash pays

}  // namespace

std::string_view TypeName(SequenceKind kind) {
  switch (kind) {
    case SequenceKind::kList:
      return "list";
    case SequenceKind::kTuple:
    case SequenceKind::kGroup:
      return "tuple";
    case SequenceKind::kRange:
      return "range";
    case SequenceKind::kGenerator:
      return "generator";
    case SequenceKind::kItems:
      return "dict_items";
    case SequenceKind::kKeys:
      return "dict_keys";
    case SequenceKind::kValues:
      return "dict_values";
  }
  return "sequence";
}

Value Value::Undefined(std::string message) {
  Value value;
  value.storage_ = std::make_shared<const UndefinedValue>(UndefinedValue{std::move(message)});
  return value;
}

Value Value::Constant(std::string_view text) {
  auto string = std::make_shared<String>();
  string->text = Text(text);
  return Value(std::shared_ptr<const String>(std::move(string)));
}

const Text* Value::string() const {
  const auto* const string = std::get_if<std::shared_ptr<const String>>(&storage_);
  return string == nullptr ? nullptr : &(*string)->text;
}

const Sequence* Value::sequence() const {
  const auto* const sequence = std::get_if<std::shared_ptr<const Sequence>>(&storage_);
  return sequence == nullptr ? nullptr : sequence->get();
}

std::shared_ptr<const Sequence> Value::shared_sequence() const {
  const auto* const sequence = std::get_if<std::shared_ptr<const Sequence>>(&storage_);
  return sequence == nullptr ? nullptr : *sequence;
}

const Dict* Value::dict() const {
  const auto* const dict = std::get_if<std::shared_ptr<const Dict>>(&storage_);
  return dict == nullptr ? nullptr : dict->get();
}

std::shared_ptr<const Dict> Value::shared_dict() const {
  const auto* const dict = std::get_if<std::shared_ptr<const Dict>>(&storage_);
  return dict == nullptr ? nullptr : *dict;
}

Object* Value::object() const {
  const auto* const object = std::get_if<std::shared_ptr<Object>>(&storage_);
  return object == nullptr ? nullptr : object->get();
}

const std::string& Value::undefined_message() const {
  return std::get<std::shared_ptr<const UndefinedValue>>(storage_)->message;
}

std::optional<int64_t> Value::integer() const {
  if (const bool* const value = boolean()) return *value ? 1 : 0;
  const auto* const value = std::get_if<int64_t>(&storage_);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<double> Value::number() const {
  if (const double* const value = real()) return *value;
  const auto value = integer();
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

std::string_view Value::type_name() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (boolean() != nullptr) return "bool";
  if (is_int()) return "int";
  if (real() != nullptr) return "float";
  if (string() != nullptr) return "str";
  if (dict() != nullptr) return "dict";
  if (const Sequence* const items = sequence()) return TypeName(items->kind);
  return object()->type_name();
}

int Value::depth() const {
  if (const Sequence* const items = sequence()) return items->depth;
  if (const Dict* const entries = dict()) return entries->depth;
  return 0;
}

bool Value::Same(const Value& other) const {
  if (storage_.index() != other.storage_.index()) return false;
  if (is_none()) return true;
  if (boolean() != nullptr) return *boolean() == *other.boolean();
  if (is_int()) return *integer() == *other.integer();
  if (real() != nullptr) return *real() == *other.real();
  // Python keeps one object of the strings that are written out; equal strings count as one here.
  if (string() != nullptr) return string()->bytes == other.string()->bytes;
  if (dict() != nullptr) return dict() == other.dict();
  if (sequence() != nullptr) return sequence() == other.sequence();
  if (object() != nullptr) return object() == other.object();
  return &undefined_message() == &other.undefined_message();
}

const Value* Dict::Find(std::string_view key) const {
  if (!index.empty()) {
    const auto found = index.find(AbslView(key));
    return found == index.end() ? nullptr : &entries[found->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (const Text* const text = name.string(); text != nullptr && text->bytes == key) return &value;
  }
  return nullptr;
}

void Dict::Index() {
  index.clear();
  if (entries.size() < kIndexedEntries) return;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (const Text* const text = entries[i].first.string()) index.emplace(AbslView(text->bytes), i);
  }
}

Result Object::Call(Run& run, Arguments arguments) {
  return absl::InvalidArgumentError(absl::StrCat("'", AbslView(type_name()), "' object is not callable"));
}

}  // namespace hearth::jinja
