#ifndef HEARTH_TESTS_SIMULATION_TOY_MODEL_H_
#define HEARTH_TESTS_SIMULATION_TOY_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/channel/frame.h"
#include "daemon/weights/shard_description.h"
#include "engine/model/decoder.h"
#include "engine/outline/unit_id.h"
#include "placement/model.h"
#include "tests/simulation/network.h"

namespace hearth::simulation {

// A model of which only the units and their sizes are there. The next token is a hash of all tokens before
// it, of which each head group's cache holds a part: what is missing, doubled or stale there gives another
// token.
class ToyModel {
 public:
  ToyModel(std::string name, Random& random);

  static constexpr uint32_t kSlots = 4;
  static constexpr uint32_t kMaxRows = 32;
  static constexpr uint32_t kContext = 256;
  static constexpr uint32_t kTokens = 997;
  static constexpr uint32_t kLayers = 1;

  const std::string& name() const { return name_; }
  const placement::Model& description() const { return description_; }
  uint64_t bytes(const UnitId& unit) const { return bytes_.at(unit); }
  DecoderOptions decoder() const;
  // Of a plan, neither epoch nor units.
  ShardDescription shard() const;
  BundleId bundle(const UnitId& unit) const;

  // Of a head group's cache: what a position holds, given what the one before holds (0 before the first).
  uint64_t Cached(const UnitId& heads, uint64_t before, TokenId token) const;
  // What a unit adds to a row: from its cache's new position, or from the token and its position.
  uint64_t Share(const UnitId& unit, uint64_t cached, TokenId token, uint32_t position) const;
  // The token that follows where the shares of all units have this sum.
  static TokenId Choose(uint64_t sum) { return static_cast<TokenId>(sum % kTokens); }
  // What follows a prompt in an unbroken run.
  std::vector<TokenId> Continue(std::vector<TokenId> prompt, size_t tokens) const;

 private:
  const std::string name_;
  placement::Model description_;
  std::map<UnitId, uint64_t> bytes_;
};

// A unit in the memory of a daemon, with its cache if it has one.
struct Piece {
  Piece(Machine& machine, uint64_t bytes) : machine_(machine), bytes_(bytes) {
    machine_.used_bytes += bytes_;
  }
  ~Piece() { machine_.used_bytes -= bytes_; }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;
  uint64_t bytes() const { return bytes_; }

  uint64_t cache_id = 0;
  std::vector<std::vector<uint64_t>> slots;  // cached positions

 private:
  Machine& machine_;
  const uint64_t bytes_;
};
using Pieces = std::map<UnitId, std::shared_ptr<Piece>>;

// Computes the rows with the units and adds their shares to sums, one per row. A cached position that is
// missing gives nonsense.
void Compute(const ToyModel& model, const Pieces& pieces, const std::vector<BatchRow>& rows,
             std::vector<uint64_t>& sums);

// A shape that a step's message to a host has, whatever the host holds.
ShardShape StepShape(uint64_t epoch);
// A step's request and its answer.
FrameHeader StepRequest(uint64_t epoch, uint64_t ticket, uint64_t step, uint32_t rows);
FrameHeader StepAnswer(const FrameHeader& request);

}  // namespace hearth::simulation

#endif  // HEARTH_TESTS_SIMULATION_TOY_MODEL_H_
