// Runs the sampler's index maths for test_sampler.py.
//
// Arguments: float or double, size, zeros, border or reflection. Positions come in as doubles on
// the standard input; each leaves as five doubles: low, fraction, slope, low_inside, high_inside.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sampler.h"

namespace {

template <class Real>
void run(int size, rfwarp::Padding padding) {
  double position;
  while (std::fread(&position, sizeof position, 1, stdin) == 1) {
    const auto tap = rfwarp::axis_tap(static_cast<Real>(position), size, padding);
    const double row[] = {double(tap.low), double(tap.fraction), double(tap.slope),
                          double(tap.low_inside), double(tap.high_inside)};
    std::fwrite(row, sizeof row, 1, stdout);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return EXIT_FAILURE;
  const int size = std::atoi(arguments[2]);
  auto padding = rfwarp::Padding::zeros;
  if (std::strcmp(arguments[3], "border") == 0) padding = rfwarp::Padding::border;
  if (std::strcmp(arguments[3], "reflection") == 0) padding = rfwarp::Padding::reflection;
  if (std::strcmp(arguments[1], "float") == 0)
    run<float>(size, padding);
  else
    run<double>(size, padding);
}
