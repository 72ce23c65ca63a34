"""What `torch.hub.load(FOLDER, "sdas", source="local")` reads."""
import importlib.util
import sys
from pathlib import Path

dependencies = ["torch"]

# By a name of the folder's own: other folders have a module `sdas_net`, too.
_path = Path(__file__).resolve().with_name("sdas_net.py")
_name = "sdas_net_" + "".join(letter if letter.isalnum() else "_" for letter in str(_path.parent))
_spec = importlib.util.spec_from_file_location(_name, _path)
sys.modules[_name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[_name])
sdas = sys.modules[_name].sdas
