/* test_tool_stats.c - medians, percentiles and intervals of series known by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/stats.h"

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-12;
}

static void odd_and_even_series_have_their_median(void **state)
{
    static const double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};

    (void)state;
    assert_true(near(stats_median(odd, 3), 3));
    assert_true(near(stats_median(even, 4), 2.5));
    assert_true(isnan(stats_median(odd, 0)));
}

static void percentiles_are_values_of_the_series(void **state)
{
    double values[200];
    stats s;
    int i;

    (void)state;
    for (i = 0; i < 200; i++)
        values[i] = 200 - i;
    s = stats_of(values, 200);
    assert_true(near(s.min, 1) && near(s.p99, 198) && near(s.mean, 100.5));
    s = stats_of(values, 1);
    assert_true(near(s.min, 200) && near(s.p99, 200) && near(s.median, 200) && near(s.cv, 0));
    s = stats_of(values, 100); /* 101..200 */
    assert_true(near(s.p99, 199));
    s = stats_of(values, 0);
    assert_true(isnan(s.min) && isnan(s.p99) && isnan(s.cv));
}

static void ratios_are_taken_pair_by_pair(void **state)
{
    static const double a[] = {2, 30, 400}, b[] = {1, 10, 100};
    double ratios[3];

    (void)state;
    stats_ratios(a, b, 3, ratios);
    assert_true(near(ratios[0], 2) && near(ratios[1], 3) && near(ratios[2], 4));
    assert_true(near(stats_median(ratios, 3), 3));
}

static void the_interval_holds_the_median_and_repeats(void **state)
{
    double values[60], low, high, again_low, again_high;
    int i;

    (void)state;
    for (i = 0; i < 60; i++)
        values[i] = 100 + (i * 37) % 60;
    stats_interval(values, 60, 5, &low, &high);
    stats_interval(values, 60, 5, &again_low, &again_high);
    assert_true(low < 129.5 && high > 129.5 && low > 110 && high < 150);
    assert_true(near(low, again_low) && near(high, again_high));
    stats_interval(values, 1, 5, &low, &high);
    assert_true(near(low, 100) && near(high, 100));
    stats_interval(values, 0, 5, &low, &high);
    assert_true(isnan(low) && isnan(high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_and_even_series_have_their_median),
        cmocka_unit_test(percentiles_are_values_of_the_series),
        cmocka_unit_test(ratios_are_taken_pair_by_pair),
        cmocka_unit_test(the_interval_holds_the_median_and_repeats),
    };

    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
