#include "placement/column_program.h"

#include <ClpSimplex.hpp>
#include <algorithm>
#include <utility>

namespace hearth::placement {
namespace {

// What a device's whole memory costs where it is needed twice: more than any section takes, microseconds.
constexpr double kMissingUs = 1e12;

}  // namespace

struct ColumnProgram::Program {
  ClpSimplex simplex;
  size_t kinds = 0;
  size_t devices = 0;
  double unit = 1;  // bytes are counted in it: figures of one size
  std::vector<std::pair<size_t, SectionSplit>> known;
};

ColumnProgram::ColumnProgram(absl::Span<const int> sections_of_kind, absl::Span<const uint64_t> memory_bytes)
    : program_(std::make_unique<Program>()) {
  Program& p = *program_;
  p.simplex.setLogLevel(0);
  p.kinds = sections_of_kind.size();
  p.devices = memory_bytes.size();
  for (const uint64_t bytes : memory_bytes) p.unit = std::max(p.unit, static_cast<double>(bytes));
  for (const int sections : sections_of_kind) p.simplex.addRow(0, nullptr, nullptr, sections, sections);
  for (const uint64_t bytes : memory_bytes)
    p.simplex.addRow(0, nullptr, nullptr, -COIN_DBL_MAX, static_cast<double>(bytes) / p.unit);
  for (size_t d = 0; d < p.devices; ++d) {
    const int row = static_cast<int>(p.kinds + d);
    const double factor = -1;
    p.simplex.addColumn(1, &row, &factor, 0, COIN_DBL_MAX, kMissingUs);
  }
}

ColumnProgram::~ColumnProgram() = default;

bool ColumnProgram::Add(size_t kind, const SectionSplit& split) {
  Program& p = *program_;
  if (std::find(p.known.begin(), p.known.end(), std::pair{kind, split}) != p.known.end()) return false;
  p.known.emplace_back(kind, split);
  std::vector<int> rows = {static_cast<int>(kind)};
  std::vector<double> factors = {1};
  for (size_t d = 0; d < p.devices; ++d) {
    if (split.bytes[d] == 0) continue;
    rows.push_back(static_cast<int>(p.kinds + d));
    factors.push_back(split.bytes[d] / p.unit);
  }
  p.simplex.addColumn(static_cast<int>(rows.size()), rows.data(), factors.data(), 0, COIN_DBL_MAX, split.us);
  return true;
}

void ColumnProgram::Allow(size_t way, bool allowed) {
  const int column = static_cast<int>(program_->devices + way);
  program_->simplex.setColumnUpper(column, allowed ? COIN_DBL_MAX : 0);
}

double ColumnProgram::Solve() {
  program_->simplex.primal();
  return program_->simplex.objectiveValue();
}

double ColumnProgram::Count(size_t way) const {
  return program_->simplex.primalColumnSolution()[program_->devices + way];
}

std::vector<double> ColumnProgram::Prices() const {
  std::vector<double> prices;
  for (size_t d = 0; d < program_->devices; ++d)
    prices.push_back(std::max(0.0, -program_->simplex.dualRowSolution()[program_->kinds + d]) /
                     program_->unit);
  return prices;
}

bool ColumnProgram::Fits() const {
  for (size_t d = 0; d < program_->devices; ++d) {
    if (program_->simplex.primalColumnSolution()[d] > 1e-9) return false;
  }
  return program_->simplex.isProvenOptimal();
}

}  // namespace hearth::placement
