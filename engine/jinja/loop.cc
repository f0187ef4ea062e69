#include "engine/jinja/loop.h"

#include <algorithm>

#include "engine/base/status_macros.h"
#include "engine/jinja/operators.h"

namespace hearth::jinja {
namespace {

using LoopMethod = Result (*)(Run&, Loop&, const Arguments&);

class BoundLoopMethod final : public Object {
 public:
  BoundLoopMethod(Loop& loop, LoopMethod method) : loop_(loop), method_(method) {}
  std::string_view type_name() const override { return "method"; }
  Result Call(Run& run, Arguments arguments) override { return method_(run, loop_, arguments); }

 private:
  Loop& loop_;  // lives until the end of the rendering
  const LoopMethod method_;
};

Value Bound(Loop& loop, LoopMethod method) {
  return Value(std::shared_ptr<Object>(std::make_shared<BoundLoopMethod>(loop, method)));
}

}  // namespace

// The next item that fulfils the condition.
absl::StatusOr<std::optional<Value>> Loop::Pull() {
  while (at_ < items_.size()) {
    Value item = items_[at_++];
    if (!condition_) return std::optional(std::move(item));
    HEARTH_ASSIGN_OR_RETURN(const bool fits, condition_(item));
    if (fits) return std::optional(std::move(item));
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Value>> Loop::Next() {
  std::optional<Value> item;
  if (!ahead_.empty()) {
    item = std::move(ahead_.back());
    ahead_.pop_back();
  } else {
    HEARTH_ASSIGN_OR_RETURN(item, Pull());
  }
  if (!item) return item;
  ++index0_;
  previous_ = std::exchange(current_, item);
  next_.reset();
  return item;
}

const std::optional<Value>& Loop::Peek() {
  next_.reset();
  if (ahead_.empty() && status_.ok()) {
    auto pulled = Pull();
    status_ = pulled.status();
    if (pulled.ok() && *pulled) ahead_.push_back(**std::move(pulled));
  }
  if (!ahead_.empty()) next_ = ahead_.back();
  return next_;
}

std::optional<int64_t> Loop::Length() {
  if (condition_) {
    // All that remain are pulled; `ahead_` is kept in reverse.
    std::vector<Value> rest;
    while (status_.ok()) {
      auto pulled = Pull();
      status_ = pulled.status();
      if (!pulled.ok() || !*pulled) break;
      rest.push_back(**std::move(pulled));
    }
    std::reverse(rest.begin(), rest.end());
    ahead_.insert(ahead_.begin(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
    return index0_ + 1 + static_cast<int64_t>(ahead_.size());
  }
  return static_cast<int64_t>(items_.size());
}

std::optional<Value> Loop::Attribute(std::string_view name) {
  if (name == "index0") return Value(index0_);
  if (name == "index") return Value(index0_ + 1);
  if (name == "first") return Value(index0_ == 0);
  if (name == "last") return Value(!Peek().has_value());
  if (name == "length") return Value(*Length());
  if (name == "revindex") return Value(*Length() - index0_);
  if (name == "revindex0") return Value(*Length() - index0_ - 1);
  if (name == "depth") return Value(int64_t{depth_});
  if (name == "depth0") return Value(int64_t{depth_ - 1});
  if (name == "previtem") return index0_ > 0 ? previous_ : Value::Undefined("there is no previous item");
  if (name == "nextitem") return Peek() ? next_ : Value::Undefined("there is no next item");
  if (name == "cycle") {
    return Bound(*this,
                 [](Run& run, Loop& loop, const Arguments& arguments) { return loop.Cycle(run, arguments); });
  }
  if (name == "changed") {
    return Bound(
        *this, [](Run& run, Loop& loop, const Arguments& arguments) { return loop.Changed(run, arguments); });
  }
  return std::nullopt;
}

Result Loop::Cycle(Run& run, const Arguments& arguments) const {
  if (arguments.positional.empty()) return Fail("loop.cycle needs items");
  return arguments.positional[static_cast<size_t>(index0_) % arguments.positional.size()];
}

Result Loop::Changed(Run& run, const Arguments& arguments) {
  bool same = changed_ && changed_->size() == arguments.positional.size();
  for (size_t i = 0; same && i < changed_->size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(same, Equal(run, (*changed_)[i], arguments.positional[i]));
  }
  if (!same) changed_ = arguments.positional;
  return Value(!same);
}

Result Loop::Call(Run& run, Arguments arguments) {
  if (!recursion_) return Fail("a loop that is called needs the word 'recursive'");
  HEARTH_ASSIGN_OR_RETURN(const auto bound, Bind("loop", arguments, {"iterable"}, 1));
  return recursion_(*bound[0], depth_ + 1);
}

void Loop::Clear() {
  items_.clear();
  ahead_.clear();
  previous_ = current_ = next_ = std::nullopt;
  changed_.reset();
  condition_ = nullptr;
  recursion_ = nullptr;
}

}  // namespace hearth::jinja
