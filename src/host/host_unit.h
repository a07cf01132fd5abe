/* host/host_unit.h: settings of a systemd unit as its files give them, also where systemd does not run.
 * Control side only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* True if a file of the unit ("weir.service") is there. */
bool host_unit_exists(const char *root, const char *unit);
/* The last value that the unit's file and its drop-ins give to `key` ("LimitNOFILE"); drop-ins count by
 * directory, the administrator's last, and then by name. False if none gives one, or the last is empty
 * (which resets it). */
bool host_unit_setting(const char *root, const char *unit, const char *key, char *out, size_t size);
