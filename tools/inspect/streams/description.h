/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vmdescription: which devices a stream has, and their fields. */
#ifndef TOOLS_INSPECT_DESCRIPTION_H
#define TOOLS_INSPECT_DESCRIPTION_H

#include <json-glib/json-glib.h>
#include <stddef.h>

/* NULL, and why not in *fault (to be freed by g_free()), when the text is not
 * JSON with a list of devices, or is not to be parsed. */
JsonNode *description_parse(const char *text, size_t size, char **fault);

/* The devices, in the order of their sections: objects, of which each has a
 * name and an instance_id.  NULL when there is no such list. */
JsonArray *description_devices(JsonNode *root);

/* A device's name; NULL when a section cannot have it. */
const char *description_name(JsonObject *device);

#endif
