#ifndef HEARTH_CLIENT_LIBRARY_CATALOGUE_H_
#define HEARTH_CLIENT_LIBRARY_CATALOGUE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace hearth {

// Models that are known to be good, by name: deploy/catalogue, whose README tells of the files' form.

struct CatalogueModel {
  std::string name;    // as `hearth pull` takes it
  std::string about;   // a line for people
  std::string source;  // as `hearth pull` takes it: hf:USER/REPO:FILE, or a URL
  std::string sha256;  // of its only file; empty: the hub's own counts
  // Of its weights, reckoned from its figures; 0: not told.
  uint64_t computed_bytes = 0;
  std::string figures;  // hearth.v1.ModelFigures as JSON
};

// What a file of the catalogue says. INVALID_ARGUMENT for what is none, which names the model and what is
// wrong with it.
absl::StatusOr<std::vector<CatalogueModel>> ParseCatalogue(std::string_view json);

// All models of the files, in the order of the list: each a file, or a folder of which all *.json are read,
// by name. A model takes the place of an earlier one of its name. The error names the file.
absl::StatusOr<std::vector<CatalogueModel>> ReadCatalogues(const std::vector<std::string>& paths);

// Whether a source of `hearth pull` can only be a name of the catalogue.
bool IsCatalogueName(std::string_view source);

// The model of that name; NOT_FOUND says what to do.
absl::StatusOr<CatalogueModel> FindInCatalogue(const std::vector<CatalogueModel>& models,
                                               std::string_view name);

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_CATALOGUE_H_
