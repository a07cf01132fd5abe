#include "logs/distinct.h"

#include <math.h>
#include <string.h>

void distinct_clear(struct distinct *d)
{
    memset(d->registers, 0, (size_t)1 << d->bits);
}

void distinct_merge(struct distinct *into, const struct distinct *from)
{
    size_t count = (size_t)1 << into->bits;
    for (size_t i = 0; i < count; i++)
        if (into->registers[i] < from->registers[i]) into->registers[i] = from->registers[i];
}

/* Ertl's sigma: x + sum of x^(2^k) 2^(k-1). */
static double sigma(double x)
{
    if (x == 1) return INFINITY;
    double y = 1, z = x, before;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z != before);
    return z;
}

/* Ertl's tau. */
static double tau(double x)
{
    if (x == 0 || x == 1) return 0;
    double y = 1, z = 1 - x, before;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z != before);
    return z / 3;
}

double distinct_count(const struct distinct *d)
{
    unsigned q = 64u - d->bits;
    double m = (double)(UINT64_C(1) << d->bits);
    uint32_t multiplicity[66] = { 0 };
    for (size_t i = 0; i < (size_t)1 << d->bits; i++) multiplicity[d->registers[i]]++;
    double z = m * tau(1 - multiplicity[q + 1] / m);
    for (unsigned k = q; k >= 1; k--) z = 0.5 * (z + multiplicity[k]);
    z += m * sigma(multiplicity[0] / m);
    return m * m / (2 * M_LN2) / z;
}

double distinct_error(const struct distinct *d)
{
    return 1.04 / sqrt((double)(UINT64_C(1) << d->bits));
}
