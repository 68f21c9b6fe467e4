"""The proving ground: hosts and networks on one machine, where calls walk, are attacked, and are measured.

- `options`: what a run is told. `itinerary` and `walking`: when which network is left and joined.
- `phones`, `subjects`: the programs of a run, ours and others'. `scenario`: one run. `run`: one command's worth.
- `pair`: two phones, both of which may move, in the hands of a test.
- `networks/`: hosts, networks, links. `measure/`: from a run's folder to its figures. `attacks/`: attacks, controls,
  listening. `report/`: the page and the table. `peers/`: phones and servers of others.
"""
