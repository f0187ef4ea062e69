#ifndef HEARTH_ENGINE_JINJA_TEMPLATE_H_
#define HEARTH_ENGINE_JINJA_TEMPLATE_H_

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/byte_range.h"
#include "engine/jinja/run.h"

namespace hearth::jinja {

struct Tree;

// What a template made.
struct Rendered {
  std::string text;
  // Where `text` came from the inputs rather than from the template: ascending ranges that do not touch.
  // Where a filter mixes both, all of its result counts as input.
  std::vector<ByteRange> inputs;
};

// What a template is rendered with.
struct Variables {
  const nlohmann::ordered_json& inputs;   // an object: what others wrote; marked in the result
  const nlohmann::ordered_json& trusted;  // an object: not marked, such as the texts of special tokens
  absl::Time now;                         // for strftime_now
  absl::TimeZone zone;
};

// A template in the part of Jinja that chat templates use, with the meaning it has in Hugging Face's
// transformers: jinja2's immutable sandbox with trim_blocks, lstrip_blocks, break and continue, a tojson that
// is json.dumps, raise_exception and strftime_now. Differences: integers have 64 bits, cases of letters are
// Unicode's simple ones, |safe and |escape give plain strings, generators are computed at once. Immutable;
// may be used by several threads at a time.
class Template {
 public:
  // INVALID_ARGUMENT or UNIMPLEMENTED say with line and column what is wrong.
  static absl::StatusOr<Template> Parse(std::string_view source);

  // INVALID_ARGUMENT for an error of the template or one that it raises, RESOURCE_EXHAUSTED beyond the
  // limits; with line and column. Text of `variables` must be UTF-8.
  absl::StatusOr<Rendered> Render(const Variables& variables, const Limits& limits = {}) const;

 private:
  explicit Template(std::shared_ptr<const Tree> tree) : tree_(std::move(tree)) {}
  std::shared_ptr<const Tree> tree_;
};

}  // namespace hearth::jinja

#endif  // HEARTH_ENGINE_JINJA_TEMPLATE_H_
