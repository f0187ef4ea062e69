#include "daemon/planning/firing_figures.h"

#include <gtest/gtest.h>

#include <vector>

namespace hearth {
namespace {

constexpr uint64_t kRows = FiringFigures::kEnoughRows;

// A layer of two groups, by the profile one of them hot.
placement::Model TwoGroups(double hot = 0.4, double cold = 0.1) {
  placement::Model model;
  model.sections = {{.groups = {{.neurons = 32, .frequency = hot}, {.neurons = 32, .frequency = cold}},
                     .name = {placement::GroupKind::kNeurons, 3}}};
  return model;
}

// The frequencies that plans see after `seen`.
std::vector<double> After(FiringFigures& figures, const std::vector<LayerFiring>& seen,
                          placement::Model model = TwoGroups()) {
  figures.Note(model, seen);
  figures.Apply(model);
  return {model.sections[0].groups[0].frequency, model.sections[0].groups[1].frequency};
}

TEST(FiringFiguresTest, ProfileHoldsWhereAboutTheSameFires) {
  FiringFigures figures;
  EXPECT_EQ(After(figures, {{3, kRows, {0, 1}, {0.36f, 0.12f}}}), (std::vector<double>{0.4, 0.1}));
  EXPECT_EQ(figures.version(), 0u);
}

TEST(FiringFiguresTest, OtherGroupsThatFireArePlannedWith) {
  FiringFigures figures;
  EXPECT_EQ(After(figures, {{3, kRows, {0, 1}, {0.125f, 0.375f}}}), (std::vector<double>{0.125, 0.375}));
  EXPECT_EQ(figures.version(), 1u);
}

TEST(FiringFiguresTest, FiguresThatWereTakenHoldUntilTheyAreWrongThemselves) {
  FiringFigures figures;
  After(figures, {{3, kRows, {0, 1}, {0.125f, 0.375f}}});
  EXPECT_EQ(After(figures, {{3, kRows, {0, 1}, {0.14f, 0.36f}}}, TwoGroups(0.125, 0.375)),
            (std::vector<double>{0.125, 0.375}));
  EXPECT_EQ(figures.version(), 1u);
  EXPECT_EQ(After(figures, {{3, kRows, {0, 1}, {0.5f, 0.125f}}}, TwoGroups(0.125, 0.375)),
            (std::vector<double>{0.5, 0.125}));
  EXPECT_EQ(figures.version(), 2u);
}

TEST(FiringFiguresTest, MuchLessFiringIsPlannedWithWithoutAProfile) {
  FiringFigures figures;
  EXPECT_EQ(After(figures, {{3, kRows, {0, 1}, {0.125f, 0.125f}}}, TwoGroups(1, 1)),
            (std::vector<double>{0.125, 0.125}));
}

TEST(FiringFiguresTest, FewRowsChangeNothing) {
  FiringFigures figures;
  After(figures, {{3, kRows - 1, {0, 1}, {0.125f, 0.375f}}});
  EXPECT_EQ(figures.version(), 0u);
}

TEST(FiringFiguresTest, GroupsThatNobodyCountsStayAsPlanned) {
  FiringFigures figures;
  EXPECT_EQ(After(figures, {{3, kRows, {0}, {0.125f}}}), (std::vector<double>{0.125, 0.1}));
}

TEST(FiringFiguresTest, NothingSeenOrNothingThatFitsChangesNothing) {
  FiringFigures figures;
  After(figures, {});
  After(figures, {{4, kRows, {0, 1}, {1, 1}}, {3, kRows, {7}, {1}}, {3, kRows, {0, 1}, {}}});
  After(figures, {{3, kRows, {0, 1}, {0, 0}}});
  EXPECT_EQ(figures.version(), 0u);
}

}  // namespace
}  // namespace hearth
