/* base/secret_same.h: whether what a stranger shows is the secret, without telling by the time it takes how much of it is. */
#pragma once

#include "base/slice.h"

/* Takes as long for a wrong one as for the right one, whatever both have in common: by the length of `given` alone. Nothing is the
 * same as an empty secret. */
bool secret_is_same(struct slice secret, struct slice given);
