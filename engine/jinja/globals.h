#ifndef HEARTH_ENGINE_JINJA_GLOBALS_H_
#define HEARTH_ENGINE_JINJA_GLOBALS_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/jinja/run.h"

namespace hearth::jinja {

// The functions that every template may call: range, dict, namespace, cycler, joiner, and those of chat
// templates, raise_exception(message) and strftime_now(format). Null where there is none of the name.
std::shared_ptr<Object> MakeGlobal(std::string_view name);

// What namespace() makes: attributes that can be assigned from within loops and macros.
class Namespace final : public Object {
 public:
  std::string_view type_name() const override { return "Namespace"; }
  bool callable() const override { return false; }
  std::optional<Value> Attribute(std::string_view name) override;
  bool SetAttribute(std::string_view name, Value value) override;
  void Clear() override { attributes_.clear(); }

 private:
  absl::flat_hash_map<std::string, Value> attributes_;
};

// A function of C++.
class Function final : public Object {
 public:
  using Body = Result (*)(Run&, const Arguments&);
  explicit Function(Body body) : body_(body) {}
  std::string_view type_name() const override { return "function"; }
  Result Call(Run& run, Arguments arguments) override { return body_(run, arguments); }

 private:
  const Body body_;
};

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_GLOBALS_H_
