/* admin/role.h: what somebody may do with the API, each with all that the one before it may. Every row of the API's table says
 * the least that it takes. */
#pragma once

#include <stdint.h>

enum admin_role {
    ROLE_NONE, /* nobody needs to say who he is */
    ROLE_VIEW, /* looking at what weir does, secrets left out */
    ROLE_OPERATE, /* what whoever is on call does: servers, denials, marks, profiles, the file and certificates read again */
    ROLE_ADMIN /* another configuration, another binary: all that weir's user can do */
};

const char *admin_role_name(enum admin_role role); /* "none", "view", "operate", "admin" */
