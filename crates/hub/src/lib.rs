//! Who is here and who hears what, on one Switchboard node.
