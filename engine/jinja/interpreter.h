#ifndef HEARTH_ENGINE_JINJA_INTERPRETER_H_
#define HEARTH_ENGINE_JINJA_INTERPRETER_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/jinja/ast.h"
#include "engine/jinja/frame.h"
#include "engine/jinja/run.h"

namespace hearth::jinja {

// Runs one rendering of a tree. For one thread; `tree` and `run` outlive this and every value that it made.
class Interpreter {
 public:
  Interpreter(const Tree& tree, Run& run) : tree_(tree), run_(run) {}

  // Before Render: a variable of the template.
  void SetVariable(NameId name, Value value) { globals_->Set(name, std::move(value)); }
  // The text of the template. An error says where in the template it arose.
  absl::StatusOr<Text> Render();

 private:
  friend class MacroObject;
  using FramePtr = std::shared_ptr<Frame>;
  enum class Flow { kNext, kBreak, kContinue };
  using FlowOr = absl::StatusOr<Flow>;

  // A scope that the statements executed while it lives are in.
  class ScopeGuard;

  // Statements. What they write goes to `out_`.
  FlowOr ExecuteAll(const Body& body);
  FlowOr Execute(const Statement& statement);
  FlowOr Execute(const Data& data);
  FlowOr Execute(const Output& output);
  FlowOr Execute(const If& statement);
  FlowOr Execute(const For& loop);
  FlowOr Execute(const Set& set);
  FlowOr Execute(const SetBlock& set);
  FlowOr Execute(const Macro& macro);
  FlowOr Execute(const CallBlock& call);
  FlowOr Execute(const FilterBlock& block);
  FlowOr Execute(const With& with);
  FlowOr Execute(const Scope& scope);
  FlowOr Execute(const Break&) { return Flow::kBreak; }
  FlowOr Execute(const Continue&) { return Flow::kContinue; }
  FlowOr RunLoop(const For& loop, const Value& items, const FramePtr& around, int depth);

  // What a body writes, as a string, in a scope of its own.
  Result Capture(const Body& body);
  absl::Status Assign(const Target& target, const Value& value);
  absl::Status Write(const Text& text);
  // The filters of a block applied to its text.
  Result FilterText(const Expression& filter, Value text);

  // Expressions.
  Result Evaluate(const Expression& expression);
  Result Evaluate(const Constant& constant) { return constant.value; }
  Result Evaluate(const Name& name);
  Result Evaluate(const ListLiteral& list);
  Result Evaluate(const DictLiteral& dict);
  Result Evaluate(const Unary& unary);
  Result Evaluate(const Binary& binary);
  Result Evaluate(const Logical& logical);
  Result Evaluate(const Comparisons& comparisons);
  Result Evaluate(const Concatenation& concatenation);
  Result Evaluate(const Conditional& conditional);
  Result Evaluate(const Attribute& attribute);
  Result Evaluate(const Subscript& subscript);
  Result Evaluate(const Slice& slice);
  Result Evaluate(const Call& call) { return CallWith(call, std::nullopt); }
  Result Evaluate(const Filter& filter);
  Result Evaluate(const Test& test);
  // `caller`: what a call block hands to the macro.
  Result CallWith(const Call& call, std::optional<Value> caller);
  Result EvaluateOr(const Expression* expression, Value fallback);
  absl::StatusOr<Arguments> EvaluateArguments(const CallArguments& arguments);

  Result CallMacro(const MacroBody& macro, const FramePtr& around, Arguments arguments);
  // Gives the parameters of a macro their values in the current scope.
  absl::Status BindParameters(const MacroBody& macro, Arguments& arguments);

  // `status` with the place of the innermost expression or statement that failed.
  absl::Status Located(Position position, const absl::Status& status);

  const Tree& tree_;
  Run& run_;
  FramePtr globals_ = std::make_shared<Frame>(nullptr);
  FramePtr frame_ = std::make_shared<Frame>(globals_);
  TextBuilder* out_ = nullptr;
  std::vector<Value> block_texts_;  // of the filter blocks that are being applied
  bool located_ = false;
};

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_INTERPRETER_H_
