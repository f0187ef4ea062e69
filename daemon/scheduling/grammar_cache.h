#ifndef HEARTH_DAEMON_SCHEDULING_GRAMMAR_CACHE_H_
#define HEARTH_DAEMON_SCHEDULING_GRAMMAR_CACHE_H_

#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "engine/base/mutex.h"
#include "engine/grammar/token_masks.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// The grammars and JSON schemas of one model's requests, ready to make token masks. The last ones are kept:
// programs send the same schema again and again, and masks that were computed once serve all who use it.
// Thread-safe.
class GrammarCache {
 public:
  // `tokenizer` outlives this.
  explicit GrammarCache(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  enum class Kind { kGbnf, kJsonSchema };
  // INVALID_ARGUMENT as ParseGbnf, CompileJsonSchema and Grammar::Compile. Takes time (tens of milliseconds
  // for the first one and for large ones): not for a thread that others wait for.
  absl::StatusOr<std::shared_ptr<const grammar::TokenMasks>> Get(Kind kind, const std::string& text);

 private:
  static constexpr size_t kKept = 16;
  struct Entry {
    Kind kind;
    std::string text;
    std::shared_ptr<const grammar::TokenMasks> masks;
  };

  std::shared_ptr<const grammar::TokenMasks> Find(Kind kind, const std::string& text);
  std::shared_ptr<const grammar::TokenTrie> Trie();

  const Tokenizer& tokenizer_;
  Mutex mutex_;
  std::shared_ptr<const grammar::TokenTrie> trie_ ABSL_GUARDED_BY(mutex_);  // made for the first grammar
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);                       // the last one used in front
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_GRAMMAR_CACHE_H_
