"""A finished map at full resolution, in the browser, from a server on this machine."""
