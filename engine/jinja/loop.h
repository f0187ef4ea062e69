#ifndef HEARTH_ENGINE_JINJA_LOOP_H_
#define HEARTH_ENGINE_JINJA_LOOP_H_

#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/jinja/run.h"

namespace hearth::jinja {

// The variable `loop`: where a for loop stands. Items that do not fulfil the loop's condition are passed over
// when they are come to, which may be early where a template asks for what comes next.
class Loop final : public Object {
 public:
  // Whether an item takes part.
  using Condition = std::function<absl::StatusOr<bool>(const Value&)>;
  // The text of the loop over other items, for loop(items).
  using Recursion = std::function<Result(const Value& items, int depth)>;

  Loop(std::vector<Value> items, Condition condition, Recursion recursion, int depth)
      : items_(std::move(items)),
        condition_(std::move(condition)),
        recursion_(std::move(recursion)),
        depth_(depth) {}

  // Goes to the next item; nullopt at the end.
  absl::StatusOr<std::optional<Value>> Next();

  std::string_view type_name() const override { return "LoopContext"; }
  std::optional<Value> Attribute(std::string_view name) override;
  Result Call(Run& run, Arguments arguments) override;
  std::optional<int64_t> Length() override;
  void Clear() override;
  // An error of the condition while a template looked ahead.
  const absl::Status& status() const { return status_; }

  // loop.cycle(...) and loop.changed(...).
  Result Cycle(Run& run, const Arguments& arguments) const;
  Result Changed(Run& run, const Arguments& arguments);

 private:
  absl::StatusOr<std::optional<Value>> Pull();
  const std::optional<Value>& Peek();

  std::vector<Value> items_;
  Condition condition_;
  Recursion recursion_;
  const int depth_;           // from 1
  size_t at_ = 0;             // in items_
  std::vector<Value> ahead_;  // pulled, not come to; the next one is the last
  int64_t index0_ = -1;
  std::optional<Value> previous_, current_, next_;
  std::optional<std::vector<Value>> changed_;
  absl::Status status_;
};

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_LOOP_H_
