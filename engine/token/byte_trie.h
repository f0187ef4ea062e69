#ifndef HEARTH_ENGINE_TOKEN_BYTE_TRIE_H_
#define HEARTH_ENGINE_TOKEN_BYTE_TRIE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace hearth {

// Strings with a value each, for finding all of them that a text begins with. Not thread-safe while
// inserting.
class ByteTrie {
 public:
  // `key` is not empty; a key inserted again keeps its first value.
  void Insert(std::string_view key, uint32_t value) {
    uint32_t node = kRoot;
    for (char c : key) {
      const auto byte = static_cast<uint8_t>(c);
      uint32_t& child = node == kRoot ? first_level_[byte] : children_[Edge(node, byte)];
      if (child == 0) child = ++last_node_;
      node = child;
    }
    values_.emplace(node, value);
  }

  // Calls visit(length, value) for every key that is a prefix of `text`, shortest first.
  template <class Visitor>
  void VisitPrefixes(std::string_view text, Visitor visit) const {
    uint32_t node = kRoot;
    for (size_t length = 0; length < text.size();) {
      node = Child(node, static_cast<uint8_t>(text[length]));
      if (node == kRoot) return;
      ++length;
      if (const auto value = values_.find(node); value != values_.end()) visit(length, value->second);
    }
  }

 private:
  static constexpr uint32_t kRoot = 0;  // never a child, so 0 also says "no child"

  static uint64_t Edge(uint32_t node, uint8_t byte) { return uint64_t{node} << 8 | byte; }
  uint32_t Child(uint32_t node, uint8_t byte) const {
    if (node == kRoot) return first_level_[byte];
    const auto child = children_.find(Edge(node, byte));
    return child == children_.end() ? kRoot : child->second;
  }

  std::array<uint32_t, 256> first_level_ = {};
  absl::flat_hash_map<uint64_t, uint32_t> children_;
  absl::flat_hash_map<uint32_t, uint32_t> values_;
  uint32_t last_node_ = kRoot;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_BYTE_TRIE_H_
