#include "engine/jinja/interpreter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/jinja/display.h"
#include "engine/jinja/filters.h"
#include "engine/jinja/loop.h"
#include "engine/jinja/operators.h"
#include "engine/jinja/tests.h"

namespace hearth::jinja {

// A macro, or the body of a call block, with the scope that it was written in.
class MacroObject final : public Object {
 public:
  MacroObject(Interpreter& interpreter, const MacroBody& macro, std::shared_ptr<Frame> frame)
      : interpreter_(interpreter), macro_(macro), frame_(std::move(frame)) {}

  std::string_view type_name() const override { return "Macro"; }
  std::optional<Value> Attribute(std::string_view name) override {
    return name == "name" ? std::optional(Value::Constant(macro_.name)) : std::nullopt;
  }
  Result Call(Run& run, Arguments arguments) override {
    return interpreter_.CallMacro(macro_, frame_, std::move(arguments));
  }

 private:
  Interpreter& interpreter_;
  const MacroBody& macro_;
  const std::shared_ptr<Frame> frame_;
};

class Interpreter::ScopeGuard {
 public:
  ScopeGuard(Interpreter& interpreter, FramePtr frame)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.frame_, std::move(frame))) {}
  ~ScopeGuard() {
    FramePtr inner = std::exchange(interpreter_.frame_, std::move(outer_));
    // A macro may hold it, and it the macro.
    if (inner.use_count() > 1) interpreter_.run_.Keep(std::move(inner));
  }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;

 private:
  Interpreter& interpreter_;
  FramePtr outer_;
};

absl::StatusOr<Text> Interpreter::Render() {
  run_.Keep(globals_);
  run_.Keep(frame_);
  TextBuilder out;
  out_ = &out;
  HEARTH_RETURN_IF_ERROR(ExecuteAll(tree_.body).status());
  return out.Take();
}

absl::Status Interpreter::Located(Position position, const absl::Status& status) {
  if (std::exchange(located_, true)) return status;
  return absl::Status(status.code(), absl::StrCat("line ", position.line, ", column ", position.column, ": ",
                                                  status.message()));
}

absl::Status Interpreter::Write(const Text& text) {
  HEARTH_RETURN_IF_ERROR(run_.StepBytes(text.bytes.size()));
  if (text.bytes.size() > run_.limits().output_bytes - std::min(out_->size(), run_.limits().output_bytes)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("it writes more than ", run_.limits().output_bytes, " bytes"));
  }
  out_->Append(text);
  return absl::OkStatus();
}

// -- Statements
// -----------------------------------------------------------------------------------------------

Interpreter::FlowOr Interpreter::ExecuteAll(const Body& body) {
  for (const Statement* const statement : body) {
    HEARTH_ASSIGN_OR_RETURN(const Flow flow, Execute(*statement));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::Execute(const Statement& statement) {
  const Run::Level level(run_);
  absl::Status status = level.status();
  if (status.ok()) status = run_.Step();
  if (!status.ok()) return Located(statement.position, status);
  FlowOr flow = std::visit([this](const auto& form) { return Execute(form); }, statement.form);
  if (!flow.ok()) return Located(statement.position, flow.status());
  return flow;
}

Interpreter::FlowOr Interpreter::Execute(const Data& data) {
  HEARTH_RETURN_IF_ERROR(Write(Text(data.text)));
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::Execute(const Output& output) {
  HEARTH_ASSIGN_OR_RETURN(const Value value, Evaluate(*output.value));
  if (value.string() != nullptr) {
    HEARTH_RETURN_IF_ERROR(Write(*value.string()));
    return Flow::kNext;
  }
  HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(run_, value));
  HEARTH_RETURN_IF_ERROR(Write(text));
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::Execute(const If& statement) {
  for (const auto& [condition, body] : statement.branches) {
    HEARTH_ASSIGN_OR_RETURN(const Value value, Evaluate(*condition));
    if (Truth(value)) return ExecuteAll(body);
  }
  return ExecuteAll(statement.otherwise);
}

Interpreter::FlowOr Interpreter::Execute(const For& loop) {
  HEARTH_ASSIGN_OR_RETURN(const Value items, Evaluate(*loop.iterable));
  return RunLoop(loop, items, frame_, 1);
}

Interpreter::FlowOr Interpreter::RunLoop(const For& loop, const Value& items, const FramePtr& around,
                                         int depth) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<Value> source, Iterate(run_, items));
  Loop::Condition condition;
  if (loop.condition != nullptr) {
    condition = [this, &loop, around](const Value& item) -> absl::StatusOr<bool> {
      const ScopeGuard scope(*this, std::make_shared<Frame>(around));
      HEARTH_RETURN_IF_ERROR(Assign(loop.target, item));
      HEARTH_ASSIGN_OR_RETURN(const Value value, Evaluate(*loop.condition));
      return Truth(value);
    };
  }
  Loop::Recursion recursion;
  if (loop.recursive) {
    recursion = [this, &loop, around](const Value& inner, int inner_depth) -> Result {
      TextBuilder out;
      TextBuilder* const outer = std::exchange(out_, &out);
      const FlowOr flow = RunLoop(loop, inner, around, inner_depth);
      out_ = outer;
      HEARTH_RETURN_IF_ERROR(flow.status());
      return run_.String(out.Take());
    };
  }
  const auto state = run_.Make<Loop>(std::move(source), std::move(condition), std::move(recursion), depth);
  bool ran = false;
  for (;; ran = true) {
    HEARTH_RETURN_IF_ERROR(run_.Step());
    HEARTH_ASSIGN_OR_RETURN(const auto item, state->Next());
    if (!item) break;
    const ScopeGuard scope(*this, std::make_shared<Frame>(around));
    frame_->Set(kLoopName, Value(std::shared_ptr<Object>(state)));
    HEARTH_RETURN_IF_ERROR(Assign(loop.target, *item));
    HEARTH_ASSIGN_OR_RETURN(const Flow flow, ExecuteAll(loop.body));
    HEARTH_RETURN_IF_ERROR(state->status());
    if (flow == Flow::kBreak) return Flow::kNext;
  }
  if (ran) return Flow::kNext;
  const ScopeGuard scope(*this, std::make_shared<Frame>(around));
  return ExecuteAll(loop.otherwise);
}

Interpreter::FlowOr Interpreter::Execute(const Set& set) {
  HEARTH_ASSIGN_OR_RETURN(const Value value, Evaluate(*set.value));
  HEARTH_RETURN_IF_ERROR(Assign(set.target, value));
  return Flow::kNext;
}

Result Interpreter::Capture(const Body& body) {
  TextBuilder out;
  TextBuilder* const outer = std::exchange(out_, &out);
  FlowOr flow = Flow::kNext;
  {
    const ScopeGuard scope(*this, std::make_shared<Frame>(frame_));
    flow = ExecuteAll(body);
  }
  out_ = outer;
  HEARTH_RETURN_IF_ERROR(flow.status());
  if (*flow != Flow::kNext) return Fail("a loop cannot be left from within a block whose text is kept");
  return run_.String(out.Take());
}

Result Interpreter::FilterText(const Expression& filter, Value text) {
  block_texts_.push_back(std::move(text));
  Result filtered = Evaluate(filter);
  block_texts_.pop_back();
  return filtered;
}

Interpreter::FlowOr Interpreter::Execute(const SetBlock& set) {
  HEARTH_ASSIGN_OR_RETURN(Value text, Capture(set.body));
  if (set.filter != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(text, FilterText(*set.filter, std::move(text)));
  }
  HEARTH_RETURN_IF_ERROR(Assign(set.target, text));
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::Execute(const Macro& macro) {
  frame_->Set(macro.name,
              Value(std::shared_ptr<Object>(std::make_shared<MacroObject>(*this, macro.macro, frame_))));
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::Execute(const CallBlock& call) {
  const Value caller(std::shared_ptr<Object>(std::make_shared<MacroObject>(*this, call.caller, frame_)));
  HEARTH_ASSIGN_OR_RETURN(const Value value, CallWith(std::get<Call>(call.call->form), caller));
  HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(run_, value));
  HEARTH_RETURN_IF_ERROR(Write(text));
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::Execute(const FilterBlock& block) {
  HEARTH_ASSIGN_OR_RETURN(Value text, Capture(block.body));
  HEARTH_ASSIGN_OR_RETURN(const Value filtered, FilterText(*block.filter, std::move(text)));
  HEARTH_ASSIGN_OR_RETURN(const Text written, ToText(run_, filtered));
  HEARTH_RETURN_IF_ERROR(Write(written));
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::Execute(const With& with) {
  // The values are those of the scope around.
  std::vector<Value> values;
  for (const auto& [target, expression] : with.values) {
    HEARTH_ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    values.push_back(std::move(value));
  }
  const ScopeGuard scope(*this, std::make_shared<Frame>(frame_));
  for (size_t i = 0; i < values.size(); ++i) HEARTH_RETURN_IF_ERROR(Assign(with.values[i].first, values[i]));
  return ExecuteAll(with.body);
}

Interpreter::FlowOr Interpreter::Execute(const Scope& scope) {
  const ScopeGuard guard(*this, std::make_shared<Frame>(frame_));
  return ExecuteAll(scope.body);
}

absl::Status Interpreter::Assign(const Target& target, const Value& value) {
  HEARTH_RETURN_IF_ERROR(run_.Step());
  if (target.tuple) {
    HEARTH_RETURN_IF_ERROR(CheckDefined(value));
    HEARTH_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(run_, value));
    if (items.size() != target.parts.size()) {
      return Fail(absl::StrCat("expected ", target.parts.size(), " values to unpack, found ", items.size()));
    }
    for (size_t i = 0; i < items.size(); ++i) HEARTH_RETURN_IF_ERROR(Assign(target.parts[i], items[i]));
    return absl::OkStatus();
  }
  size_t searched = 0;
  if (target.attribute.empty()) {
    HEARTH_RETURN_IF_ERROR(run_.Step(frame_->size() / 16));
    frame_->Set(target.name, value);
    return absl::OkStatus();
  }
  const Value* const object = frame_->Find(target.name, &searched);
  HEARTH_RETURN_IF_ERROR(run_.Step(searched / 16));
  if (object == nullptr) return Fail(absl::StrCat("'", tree_.names[target.name], "' is undefined"));
  if (object->object() == nullptr || !object->object()->SetAttribute(target.attribute, value)) {
    return Fail(
        absl::StrCat("'", tree_.names[target.name], "' is no namespace: its attributes cannot be set"));
  }
  return absl::OkStatus();
}

// -- Expressions
// ----------------------------------------------------------------------------------------------

Result Interpreter::Evaluate(const Expression& expression) {
  const Run::Level level(run_);
  absl::Status status = level.status();
  if (status.ok()) status = run_.Step();
  if (!status.ok()) return Located(expression.position, status);
  Result result = std::visit([this](const auto& form) { return Evaluate(form); }, expression.form);
  if (!result.ok()) return Located(expression.position, result.status());
  return result;
}

Result Interpreter::EvaluateOr(const Expression* expression, Value fallback) {
  return expression == nullptr ? Result(std::move(fallback)) : Evaluate(*expression);
}

Result Interpreter::Evaluate(const Name& name) {
  size_t searched = 0;
  const Value* const value = frame_->Find(name.id, &searched);
  HEARTH_RETURN_IF_ERROR(run_.Step(searched / 16));
  if (value != nullptr) return *value;
  return Value::Undefined(absl::StrCat("'", tree_.names[name.id], "' is undefined"));
}

Result Interpreter::Evaluate(const ListLiteral& list) {
  std::vector<Value> items;
  for (const Expression* const expression : list.items) {
    HEARTH_ASSIGN_OR_RETURN(Value item, Evaluate(*expression));
    items.push_back(std::move(item));
  }
  return run_.List(std::move(items), list.tuple ? SequenceKind::kTuple : SequenceKind::kList);
}

Result Interpreter::Evaluate(const DictLiteral& dict) {
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [key_expression, value_expression] : dict.entries) {
    HEARTH_ASSIGN_OR_RETURN(const Value key, Evaluate(*key_expression));
    HEARTH_ASSIGN_OR_RETURN(const Value value, Evaluate(*value_expression));
    HEARTH_RETURN_IF_ERROR(CheckKey(key));
    auto entry = entries.begin();
    for (; entry != entries.end(); ++entry) {
      HEARTH_ASSIGN_OR_RETURN(const bool same, Equal(run_, entry->first, key));
      if (same) break;
    }
    entry == entries.end() ? static_cast<void>(entries.emplace_back(key, value))
                           : static_cast<void>(entry->second = value);
  }
  return run_.Dict(std::move(entries));
}

Result Interpreter::Evaluate(const Unary& unary) {
  HEARTH_ASSIGN_OR_RETURN(const Value operand, Evaluate(*unary.operand));
  return ApplyUnary(unary.op, operand);
}

Result Interpreter::Evaluate(const Binary& binary) {
  HEARTH_ASSIGN_OR_RETURN(const Value left, Evaluate(*binary.left));
  HEARTH_ASSIGN_OR_RETURN(const Value right, Evaluate(*binary.right));
  return ApplyBinary(run_, binary.op, left, right);
}

Result Interpreter::Evaluate(const Logical& logical) {
  HEARTH_ASSIGN_OR_RETURN(Value left, Evaluate(*logical.left));
  return Truth(left) == logical.is_and ? Evaluate(*logical.right) : Result(std::move(left));
}

Result Interpreter::Evaluate(const Comparisons& comparisons) {
  HEARTH_ASSIGN_OR_RETURN(Value left, Evaluate(*comparisons.first));
  for (const auto& [comparison, expression] : comparisons.rest) {
    HEARTH_ASSIGN_OR_RETURN(Value right, Evaluate(*expression));
    HEARTH_ASSIGN_OR_RETURN(const bool holds, Compare(run_, comparison, left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result Interpreter::Evaluate(const Concatenation& concatenation) {
  TextBuilder out;
  for (const Expression* const part : concatenation.parts) {
    HEARTH_ASSIGN_OR_RETURN(const Value value, Evaluate(*part));
    HEARTH_ASSIGN_OR_RETURN(const Text text, ToText(run_, value));
    out.Append(text);
    HEARTH_RETURN_IF_ERROR(run_.CheckMemory(out.size()));
  }
  return run_.String(out.Take());
}

Result Interpreter::Evaluate(const Conditional& conditional) {
  HEARTH_ASSIGN_OR_RETURN(const Value condition, Evaluate(*conditional.condition));
  if (Truth(condition)) return Evaluate(*conditional.then);
  return EvaluateOr(conditional.otherwise,
                    Value::Undefined("the inline if has no else, and its condition does not hold"));
}

Result Interpreter::Evaluate(const Attribute& attribute) {
  HEARTH_ASSIGN_OR_RETURN(const Value object, Evaluate(*attribute.object));
  return GetAttribute(run_, object, attribute.name);
}

Result Interpreter::Evaluate(const Subscript& subscript) {
  HEARTH_ASSIGN_OR_RETURN(const Value object, Evaluate(*subscript.object));
  HEARTH_ASSIGN_OR_RETURN(const Value index, Evaluate(*subscript.index));
  return GetItem(run_, object, index);
}

Result Interpreter::Evaluate(const Slice& slice) {
  HEARTH_ASSIGN_OR_RETURN(const Value object, Evaluate(*slice.object));
  HEARTH_ASSIGN_OR_RETURN(const Value begin, EvaluateOr(slice.begin, Value()));
  HEARTH_ASSIGN_OR_RETURN(const Value end, EvaluateOr(slice.end, Value()));
  HEARTH_ASSIGN_OR_RETURN(const Value step, EvaluateOr(slice.step, Value()));
  return GetSlice(run_, object, begin, end, step);
}

Result Interpreter::Evaluate(const Filter& filter) {
  Value input = block_texts_.empty() ? Value() : block_texts_.back();
  if (filter.operand != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(input, Evaluate(*filter.operand));
  }
  HEARTH_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(filter.arguments));
  return ApplyFilter(run_, filter.name, input, arguments);
}

Result Interpreter::Evaluate(const Test& test) {
  HEARTH_ASSIGN_OR_RETURN(const Value value, Evaluate(*test.operand));
  HEARTH_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(test.arguments));
  HEARTH_ASSIGN_OR_RETURN(const bool holds, ApplyTest(run_, test.name, value, arguments));
  return Value(holds != test.negated);
}

absl::StatusOr<Arguments> Interpreter::EvaluateArguments(const CallArguments& arguments) {
  Arguments values;
  for (const Expression* const expression : arguments.positional) {
    HEARTH_ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    values.positional.push_back(std::move(value));
  }
  for (const auto& [name, expression] : arguments.named) {
    HEARTH_ASSIGN_OR_RETURN(Value value, Evaluate(*expression));
    values.named.emplace_back(name, std::move(value));
  }
  if (arguments.spread != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const Value list, Evaluate(*arguments.spread));
    HEARTH_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(run_, list));
    for (Value& item : items) values.positional.push_back(std::move(item));
  }
  if (arguments.named_spread != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const Value dict, Evaluate(*arguments.named_spread));
    if (dict.dict() == nullptr) return Fail("'**' needs a dict");
    for (const auto& [key, value] : dict.dict()->entries) {
      if (key.string() == nullptr) return Fail("'**' needs a dict whose keys are strings");
      values.named.emplace_back(key.string()->bytes, value);
    }
  }
  return values;
}

Result Interpreter::CallWith(const Call& call, std::optional<Value> caller) {
  HEARTH_ASSIGN_OR_RETURN(const Value callee, Evaluate(*call.callee));
  HEARTH_ASSIGN_OR_RETURN(Arguments arguments, EvaluateArguments(call.arguments));
  if (caller) arguments.named.emplace_back("caller", *std::move(caller));
  HEARTH_RETURN_IF_ERROR(CheckDefined(callee));
  if (callee.object() == nullptr) {
    return Fail(absl::StrCat("a value of type '", AbslView(callee.type_name()), "' cannot be called"));
  }
  return callee.object()->Call(run_, std::move(arguments));
}

Result Interpreter::CallMacro(const MacroBody& macro, const FramePtr& around, Arguments arguments) {
  const ScopeGuard scope(*this, std::make_shared<Frame>(around));
  HEARTH_RETURN_IF_ERROR(BindParameters(macro, arguments));
  TextBuilder out;
  TextBuilder* const outer = std::exchange(out_, &out);
  const FlowOr flow = ExecuteAll(macro.body);
  out_ = outer;
  HEARTH_RETURN_IF_ERROR(flow.status());
  return run_.String(out.Take());
}

absl::Status Interpreter::BindParameters(const MacroBody& macro, Arguments& arguments) {
  const auto take = [&](std::string_view name) -> std::optional<Value> {
    for (auto named = arguments.named.begin(); named != arguments.named.end(); ++named) {
      if (named->first != name) continue;
      Value value = std::move(named->second);
      arguments.named.erase(named);
      return value;
    }
    return std::nullopt;
  };
  const size_t count = macro.parameters.size(), given = std::min(count, arguments.positional.size());
  for (size_t i = 0; i < count; ++i) {
    HEARTH_RETURN_IF_ERROR(
        run_.Step(1 + (arguments.named.size() + i) / 8));  // it is searched, and what is set
    const std::string& name = tree_.names[macro.parameters[i].name];
    std::optional<Value> value = i < given ? std::optional(arguments.positional[i]) : take(name);
    if (!value && macro.parameters[i].fallback != nullptr) {
      HEARTH_ASSIGN_OR_RETURN(value, Evaluate(*macro.parameters[i].fallback));
    }
    if (!value) value = Value::Undefined(absl::StrCat("parameter '", name, "' was not provided"));
    frame_->Set(macro.parameters[i].name, *std::move(value));
  }
  if (macro.uses_caller) {
    frame_->Set(kCallerName, take("caller").value_or(Value::Undefined("no caller is defined")));
  }
  if (macro.uses_kwargs) {
    std::vector<std::pair<Value, Value>> rest;
    for (auto& [name, value] : arguments.named) rest.emplace_back(Value::Constant(name), std::move(value));
    HEARTH_ASSIGN_OR_RETURN(Value kwargs, run_.Dict(std::move(rest)));
    frame_->Set(kKwargsName, std::move(kwargs));
  } else if (!arguments.named.empty()) {
    return Fail(
        absl::StrCat("the macro '", macro.name, "' has no parameter '", arguments.named[0].first, "'"));
  }
  std::vector<Value> rest(arguments.positional.begin() + static_cast<ptrdiff_t>(given),
                          arguments.positional.end());
  if (macro.uses_varargs) {
    HEARTH_ASSIGN_OR_RETURN(Value varargs, run_.List(std::move(rest), SequenceKind::kTuple));
    frame_->Set(kVarargsName, std::move(varargs));
  } else if (!rest.empty()) {
    return Fail(absl::StrCat("the macro '", macro.name, "' takes at most ", count, " arguments"));
  }
  return absl::OkStatus();
}

}  // namespace hearth::jinja
