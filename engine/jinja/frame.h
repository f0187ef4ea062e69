#ifndef HEARTH_ENGINE_JINJA_FRAME_H_
#define HEARTH_ENGINE_JINJA_FRAME_H_

#include <memory>
#include <utility>
#include <vector>

#include "engine/jinja/ast.h"
#include "engine/jinja/value.h"

namespace hearth::jinja {

// The variables of one scope: the template, a pass of a loop, a call of a macro, the body of a block. Names
// are looked for here, then in the scope around it where the text stands.
class Frame : public Object {
 public:
  explicit Frame(std::shared_ptr<Frame> parent) : parent_(std::move(parent)) {}

  std::string_view type_name() const override { return "frame"; }
  void Clear() override { variables_.clear(); }

  // Null where no scope has it. `*searched` grows by the variables that were looked at.
  const Value* Find(NameId name, size_t* searched) const {
    for (const Frame* frame = this; frame != nullptr; frame = frame->parent_.get()) {
      *searched += frame->size();
      for (const auto& [id, value] : frame->variables_) {
        if (id == name) return &value;
      }
    }
    return nullptr;
  }
  // Variables of this scope alone.
  size_t size() const { return variables_.size(); }
  void Set(NameId name, Value value) {
    for (auto& [id, variable] : variables_) {
      if (id != name) continue;
      variable = std::move(value);
      return;
    }
    variables_.emplace_back(name, std::move(value));
  }

 private:
  const std::shared_ptr<Frame> parent_;
  std::vector<std::pair<NameId, Value>> variables_;
};

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_FRAME_H_
